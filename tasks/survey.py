"""Survey: what a smaller network would weigh and take, before an epoch is spent on it."""

import numpy as np
import onnx

from tasks.compressors.schemes import Scheme
from tasks.contracts.artifacts import Candidate, Network, Plan, Prospect, Run
from tasks.contracts.config import EvaluateConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

ROWS = 32
"""Training rows that static int8 is calibrated with here: their values change neither bytes nor latency."""


@step(name="survey", task_run_name="survey {plan.name}", recall=Recall(measures=True))
def survey(
    dense: Network,
    *,
    plan: Plan,
    dataset: Dataset,
    schemes: tuple[Scheme, ...],
    limits: EvaluateConfig,
    run: Run,
    round_to: int = 1,
    reference: Candidate | None = None,
) -> Prospect:
    """Build the plan's network untrained, export it under every scheme, weigh it and time it beside dense fp32.

    Args:
        dense: What the plan makes smaller.
        plan: Which network.
        dataset: Whose rows are traced, calibrated and timed with.
        schemes: Those that could be tried on it.
        limits: On bytes and latency.
        run: Which retraining this is.
        round_to: Leave a multiple of this many channels.
        reference: Dense fp32, where it was exported already: to do it again for every plan takes half of the time.

    Raises:
        GraphError: The network cannot be exported.
        ModelError: The network has nothing that could be cut, or the student is no smaller.
    """
    from tasks.compressors import magnitude
    from tasks.compressors.structure import structure
    from tasks.exporters.onnx_graph import assemble
    from tasks.exporters.prospect import graphs_of, prospect
    from tasks.models.pretrained import parameter_count
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    module = get_network(store, dense)
    with opened(store, dataset) as data:

        def whole(network: onnx.ModelProto) -> onnx.ModelProto:
            return assemble(data.preprocessor, network, data.manifest.schema_, data.manifest.encoding, dense.loss)

        rows, raw = data.sample("train", ROWS, run.seed), data.rows("train")
        small = structure(module, dense.architecture, plan, rows[:2], round_to=round_to, seed=run.seed).module
        if plan.sparsity:
            magnitude.prune_weights(small, plan.sparsity)
        return prospect(
            plan,
            parameter_count(small),
            graphs=graphs_of(small, rows, schemes, whole),
            dense=store.get_bytes(reference.file) if reference else graphs_of(module, rows, ("none",), whole)["none"],
            batch=raw.take(np.arange(limits.batch_size) % len(raw)).inputs,
            limits=limits,
        )
