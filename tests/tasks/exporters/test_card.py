from tasks.contracts.verdict import ExtraFormat
from tasks.exporters.card import model_card
from tests.tasks.exporters import measured


def card() -> str:
    return model_card("shop", measured.verdict(), measured.dataset(), "s3://b/datasets/d/dataset.json")


def test_the_card_says_what_why_and_how_good():
    text = card()
    assert text.startswith("# shop: channels-50/static\n")
    assert "Predicts `bought`, one of 2 classes, from 1 columns: `age`." in text
    assert "**Test accuracy**: 0.9412 on 15 rows, read once." in text
    assert "75% fewer bytes than dense fp32, 2.00 x its speed" in text
    assert "* 3 rows stand twice" in text


def test_every_candidate_has_a_row_and_the_winner_is_bold():
    table = card().partition("## Candidates")[2].partition("Latency on")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    assert len(rows) == 3
    assert rows[1].startswith("| **channels-50/static** |") and rows[1].endswith("| yes |")
    assert rows[2].endswith("| max_drop is 0.5, but it loses 2: 1.5 too much |")


def test_the_card_tells_drops_with_intervals_conditions_parity_and_what_was_given_up():
    text = card()
    assert "| 0.5 (-0.2 to 1.2) |" in text
    assert "Latency on EPYC (avx2), 1 thread(s), 1 row(s) a call, ONNX Runtime 1.31.0, all in turns." in text
    assert "| exported | 100.00% | 1e-07 | a bound | kept |" in text
    assert "* `channels-75` (survey): max_p95_ms is 1, but it takes 2: 1 too long" in text


def test_other_formats_have_rows_of_their_own():
    made = ExtraFormat(
        name="w+openvino", format="openvino", takes="rows", size_bytes=1234, p50_ms=0.5, p95_ms=0.75, onnx_p50_ms=0.25,
        parity=1.0, largest_difference=1e-6,
    )  # fmt: skip
    refused = ExtraFormat(name="w+litert", format="litert", takes="encoded", refused="it answers otherwise")
    text = model_card("shop", measured.verdict(), measured.dataset(), "s3://b/d", (made, refused))
    assert "| w+openvino | 1,234 | 0.500 | 0.750 | 0.250 | 100.00% | 1e-06 | yes |" in text
    assert "| it answers otherwise |" in text
    assert "other formats" not in card()
