"""What is read of a drift report, whatever its columns are called."""

import base64
import json
import re

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.contracts.config import DriftConfig
from tasks.contracts.drift import DriftReport
from tasks.exporters import drift_telling
from tasks.exporters.drift_report import HEADINGS, figures, markdown, picture, png, rows, summary
from tasks.runtime.drift import Series, compare, reason


def report_of(*names: str, shift: float = 1.0, **changes) -> DriftReport:
    """The first column moved, the others did not; one of words comes last."""
    rng = np.random.default_rng(0)
    series = [
        Series(name, "feature", rng.normal(size=500), rng.normal(0 if place else shift, size=300))
        for place, name in enumerate(names)
    ]
    cities = np.array(["Oslo", "Ås", "東京"], dtype=object)
    series.append(Series("city", "feature", rng.choice(cities, 500), rng.choice(cities, 300), frozenset(cities)))
    columns = compare(series, DriftConfig())
    facts = {"model": "my_line", "version": "3", "manifest_sha256": "m", "source": "new.csv", "rows": 300}
    facts |= {"compared_rows": 300, "reference_rows": 500, "columns": columns, "reason": reason(columns)}
    return DriftReport(**(facts | changes))


@pytest.fixture
def told(monkeypatch):
    """The events that were emitted; MLflow is away."""
    events = []
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(drift_telling.events, "tell", lambda *names, **facts: not events.append((*names, facts)))
    return events


def test_the_worst_column_comes_first_and_says_why():
    report = report_of("income", "age")
    assert next(row[0] for row in rows(report)) == "income"
    assert {len(row) for row in rows(report)} == {len(HEADINGS)}
    text = markdown(report, "http://mlflow/run", b"PNG")
    assert text.startswith("# Drift: 1 of 3 columns drifted: income (PSI ")
    assert "[MLflow run](http://mlflow/run)" in text
    assert f"(data:image/png;base64,{base64.b64encode(b'PNG').decode()})" in text
    assert summary(report) == "my_line version 3: 300 rows of new.csv against 500 training rows"


def test_no_drift_says_so():
    assert markdown(report_of("a", shift=0)).startswith("# No drift: none of 2 columns drifted\n")


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_no_name_of_a_column_breaks_the_table_or_a_name_of_mlflow(name):
    report = report_of(name)
    table = [line for line in markdown(report).splitlines() if line.startswith("| ")]
    assert len(table) == 1 + len(report.columns)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table} == {len(HEADINGS) + 1}
    assert all(re.fullmatch(r"[\w.\- ]{1,250}", metric) for metric in figures(report))


def test_columns_whose_names_become_alike_keep_figures_of_their_own():
    found = figures(report_of("a/b", "a?b", "a:b"))
    assert {"psi.a_b", "psi.a_b 2", "psi.a_b 3"} <= set(found)
    assert found["drift.columns"] == 1.0 and found["drift.rows"] == 300.0


@pytest.mark.parametrize("name", ["income", "$x^{", "\n\0", "東京", "x" * 5000])
def test_what_moved_is_drawn_whatever_it_is_called(name):
    assert png(picture(report_of(name, *"bcdefgh"))).startswith(b"\x89PNG")


def test_nothing_to_draw_draws_nothing():
    assert picture(report_of().model_copy(update={"columns": ()})) is None


def test_while_mlflow_is_away_the_report_says_so_in_one_line_and_drift_is_told(told):
    report = drift_telling.tell(report_of("income"))
    (note,) = report.notes
    assert note.startswith("MLflow does not have this report: MLflow at http://127.0.0.1:9 does not answer")
    ((event, model, why, facts),) = told
    assert (event, model) == ("ingot.drift.detected", "my_line")
    assert why == report.reason and "\n" not in why and facts["columns"] == ["income"] and facts["version"] == "3"
    json.dumps(facts)


def test_an_artifact_that_prefect_does_not_take_loses_no_drift(told, monkeypatch):
    def away(**_):
        raise httpx.ConnectError("refused")

    monkeypatch.setattr("prefect.artifacts.create_markdown_artifact", away)
    monkeypatch.setattr("prefect.context.FlowRunContext.get", lambda: True)
    drift_telling.tell(report_of("income"), "1111", "http://prefect/run")
    assert [event for event, *_ in told] == ["ingot.drift.detected"]


def test_without_drift_nothing_is_told(told):
    assert not drift_telling.tell(report_of("a", shift=0)).drifted
    assert told == []


def test_that_prefect_was_not_told_stands_in_the_report(told, monkeypatch):
    monkeypatch.setattr(drift_telling.events, "tell", lambda *_, **__: False)
    assert drift_telling.tell(report_of("income")).notes[-1] == "Prefect was not told: no run starts on this"
