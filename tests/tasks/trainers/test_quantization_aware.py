"""A training under int8 that is cut off goes on from its last epoch, and comes to the same graph."""

import pytest

from tasks.stores.datasets import opened
from tasks.trainers import loop
from tasks.trainers.quantization_aware import trained_graph


class CutOff(Exception):
    pass


def graph_of(bench, **options) -> bytes:
    with opened(bench.store, bench.dataset) as data:
        graph = trained_graph(bench.module(bench.dense), data, bench.training, opset=20, seed=0, epochs=3, **options)
    return graph.SerializeToString(deterministic=True)


def test_a_training_that_is_cut_off_goes_on_from_its_last_epoch(bench, tmp_path, monkeypatch):
    def cut(epoch: loop.Epoch) -> None:
        if epoch.number == 2:
            raise CutOff

    whole = graph_of(bench)
    with pytest.raises(CutOff):
        graph_of(bench, checkpoint=tmp_path, report=cut)
    trained, epoch = [], loop._Training._epoch
    monkeypatch.setattr(loop._Training, "_epoch", lambda self, number: trained.append(number) or epoch(self, number))
    assert graph_of(bench, checkpoint=tmp_path) == whole
    assert trained == [3]
