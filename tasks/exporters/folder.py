"""What `ingot compress` leaves: a folder with the winner, its card, the table and the plot; whole, or not at all."""

import json
import tempfile
from pathlib import Path

from tasks.contracts.artifacts import Run
from tasks.contracts.dataset import Dataset
from tasks.contracts.errors import IngotError
from tasks.contracts.explanation import Explanation
from tasks.contracts.verdict import ExtraFormat, Verdict
from tasks.exporters.card import model_card
from tasks.exporters.plots import pareto as plot
from tasks.exporters.run_report import pareto
from tasks.stores.datasets import opened
from tasks.stores.s3 import Store


def write_folder(
    to: Path,
    store: Store,
    verdict: Verdict,
    *,
    formats: tuple[ExtraFormat, ...],
    explanation: Explanation,
    dataset: Dataset,
    run: Run,
) -> None:
    """Write `model.onnx` (unless it was refused), its other formats, `README.md`, `pareto.json` and `pareto.png`.

    Args:
        to: The folder; must not exist.
        store: Holds the winner and the data.
        verdict: What was decided.
        formats: The winner in other formats.
        explanation: What drives its answers.
        dataset: What it was measured on.
        run: Names the model.

    Raises:
        IngotError: The folder cannot be written.
    """
    with opened(store, dataset) as data:
        card = model_card(run.model_name, verdict, data.manifest, dataset.uri, formats, explanation)
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=to.parent, prefix=".ingot-") as place:
            folder = Path(place) / to.name
            folder.mkdir()
            if verdict.gate.passed:
                store.fetch(verdict.winner.file, folder / "model.onnx")
            for path, file in (item for each in formats for item in each.files.items()):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                store.fetch(file, folder / path)
            (folder / "README.md").write_text(card)
            (folder / "pareto.json").write_text(json.dumps(pareto(verdict), indent=1))
            plot(verdict.measurements, verdict.winner.name, verdict.metric_name).savefig(folder / "pareto.png")
            folder.replace(to)
    except OSError as error:
        raise IngotError(
            f"{to} cannot be written ({error.strerror}): free some space, or name another place"
        ) from error
