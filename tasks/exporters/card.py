"""The model card: one page of Markdown that says what a version is, what it costs and how it was chosen."""

from collections.abc import Sequence

from tasks.contracts.dataset import DatasetManifest
from tasks.contracts.explanation import Explanation, Influence
from tasks.contracts.verdict import ExtraFormat, Measurement, Verdict

COLUMNS = (
    "candidate", "metric", "95 % interval", "drop", "bytes", "compressed", "p50 ms", "p95 ms", "parity", "front",
    "in budget",
)  # fmt: skip

MOST_INFLUENCES = 10
"""Rows of the card; all are in `importance.json`, and MLflow cuts a description after 5,000 characters."""


def model_card(  # noqa: PLR0917 - what is written, in the order it is made
    model: str,
    verdict: Verdict,
    data: DatasetManifest,
    dataset_uri: str,
    formats: Sequence[ExtraFormat] = (),
    explanation: Explanation | None = None,
) -> str:
    """The card of the verdict's winner (Mitchell et al. 2019, arXiv 1810.03993, cut to what was measured).

    Args:
        model: Its name.
        verdict: What was decided.
        data: The dataset's manifest.
        dataset_uri: Its address.
        formats: The winner in other formats.
        explanation: What drives its answers.
    """
    winning = verdict.winning
    schema = data.schema_
    answers = f"one of {len(schema.labels)} classes" if schema.labels else f"a number, in the unit of `{schema.target}`"
    return "\n".join(
        [
            f"# {model}: {verdict.winner.name}",
            "",
            f"Predicts `{schema.target}`, {answers}, from {_inputs(data)}.",
            "",
            f"* **Test {verdict.metric_name}**: {verdict.test_metric:.5g} on {data.rows['test']} rows, read once.",
            f"* **Gate**: {'passed' if verdict.gate.passed else 'failed'}: {verdict.gate.reason}",
            f"* **Why this candidate**: {verdict.reason}.",
            f"* **Size**: {winning.size_bytes:,} bytes on disk, {winning.compressed_bytes:,} compressed, "
            f"{winning.compression_rate_bytes:.0%} fewer bytes than dense fp32, {winning.speed_up:.2f} x its speed.",
            f"* **Same answers as the torch network**: {winning.parity:.2%} of the validation rows.",
            f"* **Data**: `{dataset_uri}`, {data.rows['train']} training, {data.rows['validation']} validation rows.",
            "",
            *_section("What drives the answers", influence_table(explanation)),
            f"## Candidates ({verdict.metric_name} on the validation split)",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|" + "---|" * len(COLUMNS),
            *(_row(m, winner=m.name == winning.name) for m in verdict.measurements),
            "",
            _conditions(verdict),
            "",
            *_section("Parity of the winner, hop by hop", ledger_table(winning)),
            *_section("The winner in other formats", formats_table(formats)),
            *_section("Given up on the way", dropped_list(verdict)),
            *_section("Found in the data", [f"* {warning}" for warning in data.warnings]),
        ]
    )


def ledger_table(measurement: Measurement) -> list[str]:
    """The parity ledger as lines of a table."""
    rows = [
        f"| {hop.name} | {hop.label_agreement:.2%} | {hop.largest_difference:.3g} | {hop.bound} | "
        f"{'kept' if hop.passed else '**broken**'} |"
        for hop in measurement.hops
    ]
    return ["| hop | alike | largest difference | bound | |", "|---|---|---|---|---|", *rows] if rows else []


def influence_table(explanation: Explanation | None) -> list[str]:
    """The strongest inputs as lines of a table, below what the figures are and above what they leave out."""
    if explanation is None:
        return []
    rows = [_influence(each) for each in (*explanation.influences[:MOST_INFLUENCES], *explanation.together[:3])]
    head = [f"{explanation.method.capitalize()} on {explanation.rows} validation rows: {explanation.unit}.", ""]
    table = ["| input | mean | 95 % interval |", "|---|---|---|", *rows, ""] if rows else []
    return [*(head if rows else []), *table, *([explanation.note] if explanation.note else [])]


def _influence(each: Influence) -> str:
    name = each.name.replace("|", "\\|").replace("`", "'")
    towards = f" for {each.label}".replace("|", "\\|") if each.label else ""
    return f"| `{name}`{towards} | {each.mean:.4g} | {each.low:.4g} to {each.high:.4g} |"


def dropped_list(verdict: Verdict) -> list[str]:
    """What was given up on the way, a line each."""
    return [f"* `{each.name}` ({each.rung}): {each.reason}" for each in verdict.dropped]


def formats_table(formats: Sequence[ExtraFormat]) -> list[str]:
    """The winner in other formats as lines of a table."""
    rows = [
        f"| {each.name} | {each.size_bytes:,} | {each.p50_ms:.3f} | {each.p95_ms:.3f} | {each.onnx_p50_ms:.3f} | "
        f"{each.parity:.2%} | {each.largest_difference:.3g} | {each.refused or 'yes'} |"
        for each in formats
    ]
    head = "| format | bytes | p50 ms | p95 ms | ONNX p50 ms | parity | largest difference | published |"
    return [head, "|" + "---|" * 8, *rows] if rows else []


def _section(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "", *lines, ""] if lines else []


def _conditions(verdict: Verdict) -> str:
    c = verdict.conditions
    flags = f" ({', '.join(c.cpu_flags)})" if c.cpu_flags else ""
    return (
        f"Latency on {c.cpu}{flags}, {c.threads} thread(s), {c.batch_size} row(s) a call, ONNX Runtime "
        f"{c.onnxruntime}, all in turns. A drop counts only where its paired 95 % interval lies above zero."
    )


def _inputs(data: DatasetManifest) -> str:
    schema = data.schema_
    if schema.kind == "images":
        return f"images of shape {' x '.join(map(str, schema.features[0].shape))} (`uint8`)"
    if schema.kind == "text":
        return "text"
    names = ", ".join(f"`{feature.name}`" for feature in schema.features[:12])
    return f"{len(schema.features)} columns: {names}{', ...' if len(schema.features) > 12 else ''}"


def _row(m: Measurement, *, winner: bool) -> str:
    cells = (
        f"**{m.name}**" if winner else m.name,
        f"{m.metric:.5g}",
        f"{m.metric_low:.5g} to {m.metric_high:.5g}",
        f"{m.drop:.3g} ({m.drop_low:.3g} to {m.drop_high:.3g})",
        f"{m.size_bytes:,}",
        f"{m.compressed_bytes:,}",
        f"{m.p50_ms:.3f}",
        f"{m.p95_ms:.3f}",
        f"{m.parity:.2%}",
        "o" if m.on_front else "",
        "yes" if m.within_budget else "; ".join(m.broken_limits),
    )
    return "| " + " | ".join(cells) + " |"
