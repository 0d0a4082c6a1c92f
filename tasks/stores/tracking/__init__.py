"""MLflow runs: one for each retraining, one nested below it for each candidate.

Everything is addressed by run id through `MlflowClient`: MLflow's active run belongs to a thread, and a metric logged
from another one would open a phantom run. While MLflow is away, metrics, tags, parameters, texts, figures and the end
of a run wait on disk; whatever needs an answer raises UnavailableError. With an empty run id each function does
nothing, and MLflow is not even imported.
"""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from tasks.contracts.dataset import Split
from tasks.contracts.errors import DataError
from tasks.contracts.schema import FeatureKind, Schema
from tasks.stores.tracking.client import address, answered, client, page, silent, unless
from tasks.stores.tracking.metrics import EpochLog, points
from tasks.stores.tracking.models import log_onnx_model
from tasks.stores.tracking.spool import Entry, Point, deliver, file_entry, replay

__all__ = [
    "EpochLog",
    "child_run",
    "close_run",
    "copy_curves",
    "describe_run",
    "log_bytes",
    "log_dataset",
    "log_figure",
    "log_file",
    "log_metrics",
    "log_onnx_model",
    "log_params",
    "log_text",
    "open_run",
    "run_url",
    "set_tags",
]

FLOW_RUN = "prefect.flow_run_id"
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"
LONGEST_PARAM, LONGEST_TAG = 6000, 8000
DIGEST_LENGTH = 36


def open_run(model_name: str, run_name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """The id of the run of a flow run, in the experiment of that model; both are made if they are missing.

    A flow run that is tried again, known by the tag `prefect.flow_run_id`, takes up its own run.
    """
    mlflow = client()
    with answered():
        replay()  # also an end of this very run, by an earlier try
        experiment = _experiment(model_name)
        run_id = _run_of(experiment, tags.get(FLOW_RUN, ""))
        if run_id:
            mlflow.update_run(run_id, status="RUNNING")
        else:
            run_id = mlflow.create_run(experiment, tags=_cut(_origin(tags), LONGEST_TAG), run_name=run_name).info.run_id
    log_params(run_id, params)
    return run_id


@silent("")
def child_run(parent_run_id: str, name: str, params: Mapping[str, str], tags: Mapping[str, str]) -> str:
    """The id of a new run nested below a run; an earlier one of that name, left by a step tried before, is deleted."""
    mlflow = client()
    with answered():
        experiment = mlflow.get_run(parent_run_id).info.experiment_id
        query = f"tags.`{PARENT}` = '{parent_run_id}' and attributes.run_name = '{_quoted(name)}'"
        for earlier in mlflow.search_runs([experiment], query):
            mlflow.delete_run(earlier.info.run_id)
        all_tags = _cut({**_origin(tags), PARENT: parent_run_id}, LONGEST_TAG)
        run_id: str = mlflow.create_run(experiment, tags=all_tags, run_name=name).info.run_id
    log_params(run_id, params)
    return run_id


@silent(None)
def close_run(
    run_id: str, status: Literal["FINISHED", "FAILED", "KILLED"] = "FINISHED", tags: Mapping[str, str] | None = None
) -> None:
    """Ends a run, as of now."""
    told, now = _cut(tags or {}, LONGEST_TAG), time.time_ns() // 1_000_000
    deliver(Entry(address=address(), run_id=run_id, tags=told, status=status, end_ms=now), again=True)


@silent(None)
def log_metrics(run_id: str, metrics: Mapping[str, float], step: int = 0) -> None:
    """Logs values of one step, in batches."""
    deliver(Entry(address=address(), run_id=run_id, points=tuple(points(metrics, step))))


@silent(None)
def copy_curves(from_run_id: str, run_id: str, prefix: str, last_step: int | None = None) -> None:
    """Copies the metrics `<prefix>/name` of one run to another, with their steps and times; nothing if it is gone.

    Args:
        from_run_id: Whose curves.
        run_id: Who gets them.
        prefix: Of the metrics; those of prefixes below it are another step's.
        last_step: Where they end: another step may have gone on from there.
    """
    mlflow = client()
    with unless("RESOURCE_DOES_NOT_EXIST"):
        names = [name for name in mlflow.get_run(from_run_id).data.metrics if name.rpartition("/")[0] == prefix]
        for name in names:
            found = mlflow.get_metric_history(from_run_id, name)
            history = [each for each in found if last_step is None or each.step <= last_step]
            copied = tuple(Point(m.key, m.value, m.timestamp, m.step) for m in history)
            deliver(Entry(address=address(), run_id=run_id, points=copied))


@silent(None)
def log_params(run_id: str, params: Mapping[str, str]) -> None:
    """Logs parameters, 100 a request; a value is cut after 6,000 characters."""
    deliver(Entry(address=address(), run_id=run_id, params=_cut(params, LONGEST_PARAM)))


@silent(None)
def set_tags(run_id: str, tags: Mapping[str, str]) -> None:
    """Sets tags, 100 a request; a value is cut after 8,000 characters."""
    deliver(Entry(address=address(), run_id=run_id, tags=_cut(tags, LONGEST_TAG)))


@silent(None)
def describe_run(run_id: str, card: str) -> None:
    """Shows the model card as the description of a run, and keeps the whole of it as `model_card.md`."""
    set_tags(run_id, {NOTE: card})
    log_text(run_id, card, "model_card.md")


@silent(None)
def log_dataset(run_id: str, *, name: str, digest: str, source: str, schema: Schema, rows: Mapping[Split, int]) -> None:
    """Logs the dataset as an input of the run: its digest (36 characters fit), source, columns and rows."""
    mlflow = client()
    with answered():
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind, place = _source(source)
        dataset = Dataset(
            name=name,
            digest=digest[:DIGEST_LENGTH],
            source_type=kind,
            source=json.dumps(place),
            schema=json.dumps({"mlflow_colspec": _columns(schema)}),
            profile=json.dumps({"num_rows": sum(rows.values()), **{f"{split}_rows": n for split, n in rows.items()}}),
        )
        mlflow.log_inputs(run_id, [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])])


@silent(None)
def log_figure(run_id: str, figure: Any, name: str) -> None:
    """Logs a matplotlib figure as an image, such as `plots/pareto.png`."""
    image = io.BytesIO()
    figure.savefig(image, format=Path(name).suffix.removeprefix(".") or "png")
    deliver(file_entry(run_id, name, image.getvalue()))


@silent(None)
def log_bytes(run_id: str, content: bytes, name: str) -> None:
    """Logs a file that is in memory, such as an image that was drawn before."""
    deliver(file_entry(run_id, name, content))


@silent(None)
def log_text(run_id: str, text: str, name: str) -> None:
    """Logs a text as a file, such as `model_card.md`."""
    deliver(file_entry(run_id, name, text.encode()))


@silent(None)
def log_file(run_id: str, path: Path, folder: str = "") -> None:
    """Logs a file.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"{path} is no file, but only files are logged: check the path")
    with answered():
        client().log_artifact(run_id, str(path), folder or None)


@silent("")
def run_url(run_id: str) -> str:
    """The page of a run in MLflow's UI."""
    with answered():
        experiment = client().get_run(run_id).info.experiment_id
    return page(f"experiments/{experiment}/runs/{run_id}")


def _experiment(name: str) -> str:
    """The id of an experiment; a deleted one is brought back, since its name stays taken."""
    mlflow = client()
    found = mlflow.get_experiment_by_name(name)
    if found is None:
        with unless("RESOURCE_ALREADY_EXISTS"):  # another process made it meanwhile
            mlflow.create_experiment(name)
        found = mlflow.get_experiment_by_name(name)
    if found.lifecycle_stage == "deleted":
        mlflow.restore_experiment(found.experiment_id)
    return str(found.experiment_id)


def _run_of(experiment: str, flow_run_id: str) -> str:
    """The run that this flow run opened before, if any."""
    if not flow_run_id:
        return ""
    found = client().search_runs([experiment], f"tags.`{FLOW_RUN}` = '{_quoted(flow_run_id)}'")
    tops = [run.info.run_id for run in found if PARENT not in run.data.tags]
    return tops[-1] if tops else ""


def _origin(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags with those from which MLflow's UI fills its columns User and Source."""
    return {"mlflow.user": tags.get("actor", ""), "mlflow.source.name": "ingot", "mlflow.source.type": "JOB", **tags}


def _cut(values: Mapping[str, str], length: int) -> dict[str, str]:
    return {name: v if len(v) <= length else f"{v[: length - 3]}..." for name, v in values.items()}


def _quoted(text: str) -> str:
    return text.replace("'", "")


def _source(source: str) -> tuple[str, dict[str, str]]:
    """Type and place of a source, as `mlflow.data.get_source` reads them."""
    scheme = source.partition("://")[0] if "://" in source else ""
    if scheme in ("http", "https"):
        return "http", {"url": source}
    return ("s3" if scheme == "s3" else "local"), {"uri": source}


def _columns(schema: Schema) -> list[dict[str, object]]:
    types: dict[FeatureKind, str] = {"number": "double", "category": "string", "text": "string", "image": "binary"}
    target = "string" if any(isinstance(label, str) for label in schema.labels) else "long"
    columns = [{"type": types[f.kind], "name": f.name, "required": not f.nullable} for f in schema.features]
    target = "double" if schema.task == "regression" else target
    return [*columns, {"type": target, "name": schema.target, "required": True}]
