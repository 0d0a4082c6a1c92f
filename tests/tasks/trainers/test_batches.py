"""Batches: every row once an epoch, none too small, the same for the same seed and epoch."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.artifacts import Architecture
from tasks.contracts.errors import ConfigError
from tasks.models import zoo
from tasks.trainers.batches import Batches, least_rows


@given(rows=st.integers(1, 200), batch_size=st.integers(0, 200), least=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_row_comes_once_an_epoch_in_batches_of_enough(rows, batch_size, least, seed):
    if batch_size > rows or (batch_size or rows) < least:
        with pytest.raises(ConfigError, match=r"^train.batch_size is"):
            Batches(rows, batch_size, least=least, seed=seed)
        return
    batches = Batches(rows, batch_size, least=least, seed=seed)
    steps = list(batches.of_epoch(1))
    assert len(steps) == batches.steps
    assert sorted(torch.cat(steps).tolist()) == list(range(rows))
    assert all(least <= len(step) < (batch_size or rows) + least for step in steps)


def test_epochs_and_seeds_are_mixed_differently_and_repeatably():
    def order(seed, number):
        return torch.cat(list(Batches(50, 8, least=1, seed=seed).of_epoch(number))).tolist()

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(seed, number)) for seed in range(3) for number in range(1, 4)}) == 9


def test_all_rows_at_once_come_in_their_own_order():
    (step,) = Batches(9, 0, least=1, seed=0).of_epoch(2)
    assert step.tolist() == list(range(9))


def test_batch_norm_and_workers_need_their_rows():
    def network(family, sizes):
        return zoo.build(Architecture(family=family, input_shape=(1, 4, 4), output_size=2, hidden_sizes=sizes))

    assert least_rows(network("mlp", (4,)), workers=1) == 1
    assert least_rows(network("mlp", (4,)), workers=3) == 3
    assert least_rows(network("resnet", (4,)), workers=2) == 4
