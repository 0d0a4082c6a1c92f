"""Quantize: from an exported network to a whole candidate, raw rows in and answers out."""

from typing import Literal

import onnx

from tasks.contracts.artifacts import Candidate, Dataset, Graph, Run
from tasks.contracts.config import QuantizeConfig
from tasks.step import step


@step(name="quantize", task_run_name="quantize {graph.name} {scheme}")
def quantize(
    graph: Graph,
    scheme: Literal["none", "dynamic", "static"],
    dataset: Dataset,
    config: QuantizeConfig,
    run: Run,
) -> Candidate:
    """Quantize the network by one scheme, then bake preprocessing and answer into the graph.

    The calibration set comes from the training split alone.
    """
    from tasks.compressors import quantizer
    from tasks.exporters.onnx_graph import assemble
    from tasks.stores.datasets import opened
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    network = onnx.load_from_string(store.get_bytes(graph.file))
    with opened(store, dataset) as data:
        calibration = data.sample("train", config.calibration_samples, run.seed) if scheme == "static" else None
        quantized = quantizer.quantize(network, scheme, calibration)
        whole = assemble(
            data.preprocessor, quantized, data.manifest.schema_, data.manifest.encoding, graph.network.loss
        )
    return Candidate(
        name=f"{graph.name}/{scheme}",
        network=graph.network,
        file=store.put_bytes(whole.SerializeToString(deterministic=True)),
    )
