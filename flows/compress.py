"""The middle of a retraining without its ends: a model that exists is compressed here and now, without any server."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from flows.search import search
from flows.trial import in_process
from tasks.contracts.artifacts import Run
from tasks.contracts.config import RetrainConfig
from tasks.contracts.verdict import Verdict
from tasks.convert import convert
from tasks.evaluate import evaluate
from tasks.explain import explain
from tasks.ingest import ingest
from tasks.stores.provenance import code_digest, config_digest
from tasks.stores.s3 import Store
from tasks.train import train


def compress(config: RetrainConfig, to: Path, report: Callable[[str], None] = lambda _: None) -> Verdict:
    """Search, measure and choose; what came of it is written into a folder that appears whole or not at all.

    Args:
        config: Every knob; `train.family` is usually `pretrained`.
        to: The folder to make.
        report: Told each step before it runs.

    Raises:
        IngotError: It failed; nothing was written.
    """
    from tasks.exporters.folder import write_folder

    with tempfile.TemporaryDirectory(prefix="ingot-") as place:
        run = Run(
            model_name=config.model_name,
            seed=config.seed,
            config_digest=config_digest(config),
            code_digest=code_digest(),
            mlflow_run_id="",
            bucket=f"file://{place}",
        )
        call = in_process(report)
        dataset = call(ingest, config.ingest, run).result()
        found = search(call(train, dataset, config.train, run), dataset, config, run, call)
        verdict = call(evaluate, found.findings, dataset, config.evaluate, run).result()
        explanation = call(explain, verdict, dataset, run).result()
        formats = call(convert, verdict, dataset, config.export, run).result()
        write_folder(
            to,
            Store.from_environment(run.bucket),
            verdict,
            formats=formats,
            explanation=explanation,
            dataset=dataset,
            run=run,
        )
    return verdict
