"""The data report: one page of Markdown on the rows that a run learns from, and the contract that they keep."""

from collections.abc import Iterator

from tasks.contracts.artifacts import Run
from tasks.contracts.config import IngestConfig
from tasks.contracts.contract import Contract
from tasks.contracts.dataset import ColumnProfile, Dataset, DatasetManifest

MOST_COLUMNS = 100
SPANS_BEYOND = 1.0
"""A number is far off if it lies further outside of what the champion saw than this many times the width of that."""

ESCAPED = str.maketrans({"<": "&lt;", ">": "&gt;", "`": "'"} | {mark: "\\" + mark for mark in "\\|*[]"})


def tell(dataset: Dataset, config: IngestConfig, run: Run, contract: Contract | None = None) -> None:
    """Say in MLflow and in Prefect which data these are, and what is odd about them.

    Args:
        dataset: What ingest made, now or before.
        config: The form of ingest.
        run: Whom to tell.
        contract: What the rows were held to.
    """
    from tasks.exporters.ui_report import show_data
    from tasks.stores import tracking
    from tasks.stores.datasets import manifest_of
    from tasks.stores.s3 import Store

    manifest = manifest_of(Store.from_environment(run.bucket, run.prefix), dataset)
    warnings = (*manifest.warnings, *far_off(manifest, contract))
    report = data_report(manifest, config.source, contract)
    show_data(run, report)
    if not run.mlflow_run_id:
        return
    tracking.log_dataset(
        run.mlflow_run_id,
        name=run.model_name,
        digest=dataset.sha256,
        source=config.source,
        schema=manifest.schema_,
        rows=manifest.rows,
    )
    tags = {"data.digest": dataset.sha256, "data.uri": dataset.uri}
    if contract:
        tags |= {"data.contract": f"version {contract.version}"}
    if manifest.quarantine:
        tags |= {
            "data.quarantine.rows": str(manifest.quarantine.rows),
            "data.quarantine.uri": manifest.quarantine.file.uri,
        }
    tracking.set_tags(run.mlflow_run_id, tags)
    tracking.log_text(run.mlflow_run_id, report, "data_report.md")
    if warnings:
        tracking.log_text(run.mlflow_run_id, "\n".join(warnings) + "\n", "data_warnings.txt")


def data_report(manifest: DatasetManifest, source: str, contract: Contract | None = None) -> str:
    """The page.

    Args:
        manifest: Of the dataset.
        source: Where the rows come from.
        contract: What they were held to.
    """
    schema, rows = manifest.schema_, manifest.rows
    answers = f"one of {len(schema.labels)} classes" if schema.labels else "a number"
    found = [*manifest.warnings, *far_off(manifest, contract)]
    lines = [
        "# Data",
        "",
        f"{sum(rows.values()):,} rows of `{_plain(source)}`, {schema.kind}; `{_plain(schema.target)}` is {answers}.",
        "",
        "| split | rows |",
        "|---|---|",
        *(f"| {split} | {count:,} |" for split, count in rows.items()),
        "",
        "## Columns in the training split",
        "",
        "| column | kind | may be empty | empty | distinct | values |",
        "|---|---|---|---|---|---|",
        *_columns(manifest),
        "",
        "## Found in the data",
        "",
        *([f"* {_plain(each)}" for each in found] or ["Nothing odd."]),
        "",
        "## Contract",
        "",
        *_contract(manifest, contract),
    ]
    return "\n".join(lines) + "\n"


def far_off(manifest: DatasetManifest, contract: Contract | None) -> tuple[str, ...]:
    """A sentence for each column of numbers that reaches far outside of what the champion was trained on.

    Not refused: prices rise and sensors are replaced. But a unit that changed looks like this.
    """
    spans = {span.column: span for span in contract.spans} if contract else {}
    found = []
    for column in manifest.profile.columns:
        span = spans.get(column.name)
        if span is None or not column.edges or contract is None:
            continue
        room = SPANS_BEYOND * max(span.high - span.low, abs(span.high) * 1e-6)
        low, high = column.edges[0], column.edges[-1]
        if low < span.low - room or high > span.high + room:
            found.append(
                f"column {column.name!r} lies between {low:g} and {high:g}, but version {contract.version} was trained "
                f"between {span.low:g} and {span.high:g}: is it the same unit?"
            )
    return tuple(found)


def _columns(manifest: DatasetManifest) -> Iterator[str]:
    kinds = {feature.name: feature for feature in manifest.schema_.features}
    for column in manifest.profile.columns[:MOST_COLUMNS]:
        feature = kinds.get(column.name)
        kind, empty = (feature.kind, "yes" if feature.nullable else "no") if feature else ("target", "no")
        cells = (_plain(column.name), kind, empty, f"{column.missing:,}", f"{column.distinct:,}", _values(column))
        yield "| " + " | ".join(cells) + " |"
    more = len(manifest.profile.columns) - MOST_COLUMNS
    if more > 0:
        yield f"| and {more} more | | | | | |"


def _values(column: ColumnProfile) -> str:
    if column.edges:
        return f"{column.edges[0]:g} to {column.edges[-1]:g}, mean {column.mean or 0:.5g}"
    shown = list(zip(column.values, column.counts, strict=False))[:5]
    named = [f"{_plain(value[:24])} ({count:,})" for value, count in shown]
    return ", ".join([*named, "..."] if column.distinct > len(named) else named)


def _contract(manifest: DatasetManifest, contract: Contract | None) -> Iterator[str]:
    if contract is None:
        yield "None: there was no champion, or ingest.contract is ignore. The next run is held to this schema."
        return
    yield f"The schema of version {contract.version} (`{contract.dataset_uri}`)."
    yield ""
    held = manifest.quarantine
    if held is None:
        yield "Every row keeps it."
        return
    yield f"**{held.rows:,} of {held.read:,} rows break it** and are in quarantine: `{held.file.uri}` (Parquet)."
    yield from ("", "| column | rule | rows | first |", "|---|---|---|---|")
    for each in held.breaks:
        yield f"| {_plain(each.column)} | {each.rule} | {each.rows:,} | {_plain(each.first)} |"


def _plain(text: str) -> str:
    """A name or value of the data's, which may hold anything, as it can stand in a cell."""
    return "".join(c if c.isprintable() else " " for c in text).translate(ESCAPED)
