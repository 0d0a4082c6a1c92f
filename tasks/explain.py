"""Explain: which inputs drive the winner's answers."""

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import Dataset
from tasks.contracts.explanation import Explanation
from tasks.contracts.verdict import Verdict
from tasks.recall import Recall
from tasks.step import step


def _tell(explanation: Explanation, run: Run, **_: object) -> None:
    """Show what drives the answers: in MLflow, and as an artifact of the task run."""
    from tasks.exporters import ui_report
    from tasks.stores import tracking
    from tasks.stores.s3 import Store

    if explanation.method == "none":
        return
    ui_report.show_explanation(run, explanation)
    tracking.log_text(run.mlflow_run_id, explanation.model_dump_json(indent=1), "importance.json")
    if explanation.figure and run.mlflow_run_id:
        figure = Store.from_environment(run.bucket, run.prefix).get_bytes(explanation.figure)
        tracking.log_bytes(run.mlflow_run_id, figure, "plots/importance.png")


@step(name="explain", recall=Recall(tell=_tell))
def explain(verdict: Verdict, dataset: Dataset, run: Run) -> Explanation:
    """Explain the winner on rows of the validation split; one that fails its gate is not worth it.

    A network that cannot be explained never ends a run: the explanation then says why.
    """
    if not verdict.gate.passed:
        return Explanation(method="none", note="Not explained: it failed its gate.")
    import numpy as np

    from tasks.datasets.preprocessing import encode
    from tasks.exporters import importance
    from tasks.exporters.importance_plot import drawn
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    store = Store.from_environment(run.bucket, run.prefix)
    with opened(store, dataset) as data:
        schema, rows = data.manifest.schema_, data.rows("validation")
        chosen = np.random.default_rng(run.seed).permutation(len(rows))[: importance.rows_wanted(schema, len(rows))]
        some = rows.take(chosen)
        winner = importance.Winner(
            content=store.get_bytes(verdict.winner.file),
            module=get_network(store, verdict.winner.network),
            schema=schema,
            encoding=data.manifest.encoding,
        )
        encoded = encode(data.preprocessor, some.take(range(min(len(some), importance.MOST_ATTRIBUTED))).inputs)
    explained = importance.explain(winner, some, encoded, run.seed)
    if not explained.explanation.influences:
        return explained.explanation
    return explained.explanation.model_copy(update={"figure": store.put_bytes(drawn(explained))})
