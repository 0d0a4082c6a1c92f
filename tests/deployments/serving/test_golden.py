from types import SimpleNamespace

import numpy as np
import pytest

from deployments.serving.golden import replay
from tasks.contracts.errors import GraphError
from tasks.runtime.session import load


def replayed(tiny, made, **changed):
    manifest = tiny.manifest_of("model", made)
    outputs = manifest.golden.outputs | changed
    golden = manifest.golden.model_copy(update={"outputs": outputs})
    return replay(load(made[1]), manifest.model_copy(update={"golden": golden}))


@pytest.mark.parametrize("kind", ["mixed", "numbers", "image", "text"])
def test_a_graph_that_answers_as_recorded_is_timed(tiny, kind):
    assert 0 < replayed(tiny, getattr(tiny, kind)()) < 1


@pytest.mark.parametrize(("kind", "labels"), [("mixed", ["yes", "yes", "no"]), ("image", [1, 1])])
def test_one_other_label_is_refused(tiny, kind, labels):
    with pytest.raises(GraphError, match="1 of . golden labels differ, but none may"):
        replayed(tiny, getattr(tiny, kind)(), label=labels)


@pytest.mark.parametrize(("off", "refused"), [(0.9e-4, False), (1.2e-4, True)])
def test_a_probability_may_be_off_by_the_tolerance(tiny, off, refused):
    made = tiny.text()
    probabilities = np.array(tiny.manifest_of("model", made).golden.outputs["probabilities"])
    probabilities[0, 0] -= off
    if not refused:
        replayed(tiny, made, probabilities=probabilities.tolist())
        return
    with pytest.raises(GraphError, match="a golden probabilities is off by"):
        replayed(tiny, made, probabilities=probabilities.tolist())


def test_a_value_may_be_off_in_proportion_to_the_largest_of_the_batch(tiny):
    made = (*tiny.numbers(1000.0)[:2], {"features": [[10.0, 0.0], [0.0, 0.0]]})
    replayed(tiny, made, value=[10_000.9, 0.9])
    with pytest.raises(GraphError, match="a golden value is off by 1.2"):
        replayed(tiny, made, value=[10_000.0, 1.2])


def test_an_answer_that_is_no_number_is_refused(tiny):
    """A comparison with NaN is false whichever way it is asked."""
    manifest = tiny.manifest_of("model", tiny.numbers())
    real = load(tiny.numbers()[1])

    def run(inputs):
        return {"value": np.full(2, np.nan, np.float32)}

    with pytest.raises(GraphError, match="off by nan"):
        replay(SimpleNamespace(inputs=real.inputs, outputs=real.outputs, run=run), manifest)
