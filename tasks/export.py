"""Export: from a torch network to an ONNX graph that answers alike at every batch size."""

from tasks.contracts.artifacts import Graph, Network, Run
from tasks.contracts.config import ExportConfig
from tasks.contracts.dataset import Dataset
from tasks.recall import Recall
from tasks.step import step

SWEEP_ROWS = 32
"""The largest batch of the sweep 1, 2, 7, 32."""


@step(name="export", task_run_name="export {network.name}", recall=Recall())
def export(network: Network, dataset: Dataset, config: ExportConfig, run: Run) -> Graph:
    """Write the network as ONNX and hold it against torch on batches of 1, 2, 7 and 32 rows.

    Raises:
        GraphError: The network cannot be exported, has a pinned batch, or answers differently.
    """
    from tasks.exporters import parity
    from tasks.exporters.onnx_graph import export_network
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    module = get_network(store, network)
    with opened(store, dataset) as data:
        rows = data.sample("train", SWEEP_ROWS, run.seed)
    model = export_network(module, rows[:2], config.opset)
    parity.sweep(model, module, rows)
    return Graph(name=network.name, network=network, file=store.put_bytes(model.SerializeToString(deterministic=True)))
