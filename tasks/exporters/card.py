"""The model card: one page of Markdown that says what a version is, what it costs and how it was chosen."""

from tasks.contracts.artifacts import DatasetManifest, Measurement, Verdict

COLUMNS = ("candidate", "metric", "95 % interval", "bytes", "compressed", "p50 ms", "p95 ms", "parity", "in budget")


def model_card(model: str, verdict: Verdict, data: DatasetManifest, dataset_uri: str) -> str:
    """The card of the verdict's winner (Mitchell et al. 2019, arXiv 1810.03993, cut to what was measured)."""
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
            f"## Candidates ({verdict.metric_name} on the validation split)",
            "",
            "| " + " | ".join(COLUMNS) + " |",
            "|" + "---|" * len(COLUMNS),
            *(_row(m, winner=m.name == winning.name) for m in verdict.measurements),
            "",
            *(
                ["## Found in the data", "", *(f"* {warning}" for warning in data.warnings), ""]
                if data.warnings
                else []
            ),
        ]
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
        f"{m.size_bytes:,}",
        f"{m.compressed_bytes:,}",
        f"{m.p50_ms:.3f}",
        f"{m.p95_ms:.3f}",
        f"{m.parity:.2%}",
        "yes" if m.within_budget else "; ".join(m.broken_limits),
    )
    return "| " + " | ".join(cells) + " |"
