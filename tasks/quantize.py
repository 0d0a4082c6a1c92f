"""Quantize: from an exported network to a whole candidate, raw rows in and answers out."""

import onnx

from tasks.compressors.schemes import NEED_ROWS, Scheme
from tasks.contracts.artifacts import Candidate, Graph, Run
from tasks.contracts.config import PruneConfig, QuantizeConfig, TrainConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

CHECKED_ROWS = 1024
"""Training rows on which the mixed scheme counts changed answers."""


@step(
    name="quantize",
    task_run_name="quantize {graph.name} {scheme}",
    recall=Recall(measures=True, curves="{graph.name}/{scheme}"),
)
def quantize(
    graph: Graph,
    scheme: Scheme,
    *,
    dataset: Dataset,
    config: QuantizeConfig,
    training: TrainConfig,
    prune: PruneConfig,
    run: Run,
) -> Candidate:
    """Quantize the network by one scheme, bake preprocessing and answer into the graph, score it on validation.

    The calibration set, what stays in float and what qat learns come from the training split alone.

    Raises:
        ModelError: qat cannot trace the network.
        GraphError: The quantizer cannot read the network.
    """
    from tasks.compressors import quantizer, sensitivity
    from tasks.exporters.onnx_graph import assemble
    from tasks.exporters.watching import watched
    from tasks.runtime import scoring
    from tasks.runtime.session import load
    from tasks.runtime.slices import run_in_slices
    from tasks.stores.checkpoints import Checkpoints
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store
    from tasks.trainers import quantization_aware
    from tasks.trainers.progress import to_all

    store = Store.from_environment(run.bucket, run.prefix)
    network, kept_float = onnx.load_from_string(store.get_bytes(graph.file)), tuple[str, ...]()
    name = f"{graph.name}/{scheme}"
    with opened(store, dataset) as data:
        calibration = data.sample("train", config.calibration_samples, run.seed) if scheme in NEED_ROWS else None
        if scheme == "mixed":
            ranged, checked = (
                data.sample("train", most, run.seed) for most in (config.calibration_samples, CHECKED_ROWS)
            )
            mixed = sensitivity.mixed(network, ranged, checked, graph.network.loss)
            quantized, kept_float = mixed.network, mixed.kept_float
        elif scheme == "qat":
            with (
                watched(run, name, prune.finetune_epochs) as report,
                Checkpoints(store, run.step_key) as saves,
            ):
                trained = quantization_aware.trained_graph(
                    get_network(store, graph.network),
                    data,
                    training,
                    opset=max(each.version for each in network.opset_import if not each.domain),
                    seed=run.seed,
                    epochs=prune.finetune_epochs,
                    checkpoint=saves.folder,
                    report=to_all(report, saves),
                )
            quantized = quantizer.quantize(trained, "static", calibration)
        else:
            quantized = quantizer.quantize(network, scheme, calibration)
        schema, encoding = data.manifest.schema_, data.manifest.encoding
        whole = assemble(data.preprocessor, quantized, schema, encoding, graph.network.loss)
        content = whole.SerializeToString(deterministic=True)
        held_out = data.rows("validation")
        answers = run_in_slices(load(content), held_out.inputs)
    return Candidate(
        name=name,
        network=graph.network,
        file=store.put_bytes(content),
        metric=scoring.score(answers, held_out.target, schema.labels).value,
        kept_float=kept_float,
    )
