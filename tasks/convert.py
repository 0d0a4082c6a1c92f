"""Convert: the winner in other formats, each with its own row beside the candidates."""

from tasks.contracts.artifacts import Run
from tasks.contracts.config import ExportConfig
from tasks.contracts.dataset import Dataset
from tasks.contracts.verdict import ExtraFormat, Verdict
from tasks.recall import Recall
from tasks.step import step

CHECKED_ROWS = 1024
"""Validation rows on which a format is held against the winner."""


def _tell(made: tuple[ExtraFormat, ...], run: Run, **_: object) -> None:
    """A nested run in MLflow for each format, and a table among the artifacts."""
    from tasks.exporters import ui_report
    from tasks.stores import tracking

    for row in made:
        child = tracking.child_run(run.mlflow_run_id, row.name, {"format": row.format}, {"candidate": row.name})
        tracking.log_metrics(child, _figures(row))
        tracking.close_run(child, "FAILED" if row.refused else "FINISHED", {"refused": row.refused})
    if made:
        ui_report.show_formats(run, made)


@step(name="convert", recall=Recall(tell=_tell, measures=True))
def convert(verdict: Verdict, dataset: Dataset, config: ExportConfig, run: Run) -> tuple[ExtraFormat, ...]:
    """Convert the winner to `config.extra_formats`; nothing for a winner that is not published.

    A format that does not answer like the winner comes back refused, without files.

    Raises:
        ConfigError: The optional part of a format is not installed.
    """
    if not config.extra_formats or not verdict.gate.passed:
        return ()
    from tasks.exporters import extra_formats
    from tasks.stores.datasets import opened
    from tasks.stores.networks import get_network
    from tasks.stores.s3 import Store

    extra_formats.require(config.extra_formats)
    store = Store.from_environment(run.bucket, run.prefix)
    with opened(store, dataset) as data:
        rows = data.rows("validation")
        winner = extra_formats.Winner(
            candidate=verdict.winner,
            content=store.get_bytes(verdict.winner.file),
            module=get_network(store, verdict.winner.network),
            preprocessor=data.preprocessor,
            schema=data.manifest.schema_,
            encoding=data.manifest.encoding,
            inputs={name: array[:CHECKED_ROWS] for name, array in rows.inputs.items()},
            threads=verdict.conditions.threads,
            batch_size=verdict.conditions.batch_size,
        )
        return tuple(extra_formats.convert(winner, kind, store.put_bytes) for kind in config.extra_formats)


def _figures(row: ExtraFormat) -> dict[str, float]:
    return {
        "evaluate/size_bytes": row.size_bytes,
        "evaluate/p50_ms": row.p50_ms,
        "evaluate/p95_ms": row.p95_ms,
        "parity/label_agreement": row.parity,
        "parity/largest_difference": row.largest_difference,
    }
