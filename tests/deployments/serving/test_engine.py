import asyncio
import threading
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.serving.engine import Engine
from deployments.serving.exchange import Gone
from deployments.serving.figures import Figures
from deployments.serving.note import Note
from deployments.serving.question import Question
from deployments.serving.refusal import Refusal
from tasks.contracts.errors import GraphError

NAMES = st.sampled_from(["Oslo", "Bergen", "", "Rome", "x"])
ROW = st.tuples(st.one_of(st.just(float("nan")), st.floats(-200, 200, width=32)), NAMES, st.floats(0, 3, width=32))
COMPANY = st.lists(st.lists(ROW, min_size=1, max_size=5), min_size=2, max_size=12)


def asked(rows):
    ages, cities, heights = zip(*rows, strict=True)
    inputs = {
        "age": np.array(ages, np.float32),
        "city": np.array(cities, object),
        "height": np.array(heights, np.float32),
    }
    return Question(inputs, len(rows), dict)


def values(*numbers):
    return Question({"features": np.array([[number, 0] for number in numbers], np.float32)}, len(numbers), dict)


def client(gone=False):
    return SimpleNamespace(note=Note(), gone=gone)


def together(served, questions, *, clients=None, **options):
    """What questions get that arrive in one turn of the loop, and how many requests each run answered."""
    figures = Figures()
    engine = Engine(figures, **options)
    clients = clients or [client() for _ in questions]

    async def all_at_once():
        asking = [engine.answer(served, each, who) for each, who in zip(questions, clients, strict=True)]
        return await asyncio.gather(*asking, return_exceptions=True)

    answers = asyncio.run(all_at_once())
    engine.close()
    assert engine.rows == 0
    return answers, dict(figures.snapshot()["ingot_batch_requests"])


class Watched:
    """A session that notes how many rows each run had, and may be slow or refuse a value."""

    def __init__(self, session, bad=None):
        self.session, self.bad, self.rows, self.go = session, bad, [], threading.Event()
        self.go.set()

    def run(self, inputs):
        self.rows.append(len(next(iter(inputs.values()))))
        assert self.go.wait(20)
        if self.bad is not None and (inputs["features"] == self.bad).any():
            raise GraphError("the graph did not run: bad value")
        return self.session.run(inputs)


@pytest.fixture
def mixed(library):
    return library.find("mixed")


@pytest.fixture
def watched(library):
    found = library.find("numbers")
    return replace(found, session=Watched(found.session))


def test_every_kind_of_model_answers_alike_alone_and_in_company(library):
    assert all(served.shares for served in library.champions())


@settings(max_examples=60, deadline=None)
@given(COMPANY)
@pytest.mark.parametrize("row_seconds", [1e-6, 1.0])
def test_answers_in_company_equal_answers_alone(library, row_seconds, company):
    served = replace(library.find("mixed"), row_seconds=row_seconds)
    questions = [asked(rows) for rows in company]
    answers, _ = together(served, questions)
    for question, answer in zip(questions, answers, strict=True):
        alone = served.session.run(question.inputs)
        assert answer["label"].tolist() == alone["label"].tolist()
        np.testing.assert_allclose(answer["probabilities"], alone["probabilities"], atol=1e-6)


def test_questions_that_arrive_together_share_one_run(watched):
    served = replace(watched, row_seconds=1e-6)
    answers, runs = together(served, [values(1, 2), values(3), values(4, 5, 6)])
    assert [answer["value"].tolist() for answer in answers] == [[2, 4], [6], [8, 10, 12]]
    assert served.session.rows == [6]
    assert runs[("numbers",)][-1] == 3


def test_a_version_whose_rows_depend_on_their_company_is_asked_one_by_one(watched):
    served = replace(watched, row_seconds=1e-6, shares=False)
    together(served, [values(1), values(2)])
    assert served.session.rows == [1, 1]


def test_one_bad_row_fails_its_own_question_alone(watched):
    watched.session.bad = 13
    for row_seconds in (1e-6, 1.0):
        served = replace(watched, row_seconds=row_seconds)
        good, bad, other = together(served, [values(1), values(2, 13), values(3)], threads=1)[0]
        assert (good["value"].tolist(), other["value"].tolist()) == ([2], [6])
        assert isinstance(bad, GraphError)


def test_what_arrives_while_a_heavy_run_is_under_way_gathers_for_the_next(watched):
    served = replace(watched, row_seconds=0.01)
    engine = Engine(Figures(), threads=1)
    served.session.go.clear()

    async def ask():
        first = asyncio.ensure_future(engine.answer(served, values(1), client()))
        while not served.session.rows:
            await asyncio.sleep(0.001)
        later = [asyncio.ensure_future(engine.answer(served, values(number), client())) for number in (2, 3, 4)]
        await asyncio.sleep(0.01)
        served.session.go.set()
        return [answer["value"].tolist() for answer in await asyncio.gather(first, *later)]

    assert asyncio.run(ask()) == [[2], [4], [6], [8]]
    engine.close()
    assert served.session.rows == [1, 3]


def test_a_heavy_line_is_shared_out_among_the_threads_that_are_free(watched):
    served = replace(watched, row_seconds=0.01)
    answers, _ = together(served, [values(number) for number in range(10)], threads=2)
    assert [answer["value"].tolist() for answer in answers] == [[2 * number] for number in range(10)]
    assert sorted(served.session.rows) == [5, 5]


def test_a_long_question_runs_beside_the_line(watched):
    served = replace(watched, row_seconds=0.01)
    together(served, [values(*range(500)), values(1), values(2)], threads=1)
    assert sorted(served.session.rows) == [2, 500]


def test_beyond_the_limit_a_question_is_refused_and_asked_to_come_again(watched):
    served = replace(watched, row_seconds=1e-6)
    first, second, third = together(served, [values(1, 2), values(3, 4), values(5)], most_rows=3)[0]
    assert (first["value"].tolist(), third["value"].tolist()) == ([2, 4], [10])
    assert isinstance(second, Refusal)
    assert (second.status, second.code, second.headers) == (429, "overloaded", ((b"retry-after", b"1"),))
    assert "2 rows wait" in str(second)


def test_one_question_may_be_larger_than_the_limit_if_nobody_else_is_there(watched):
    (only,) = together(replace(watched, row_seconds=1e-6), [values(1, 2, 3)], most_rows=2)[0]
    assert only["value"].tolist() == [2, 4, 6]


def test_who_hung_up_is_skipped(watched):
    served = replace(watched, row_seconds=1e-6)
    clients = [client(), client(gone=True), client()]
    first, gone, last = together(served, [values(1), values(2), values(3)], clients=clients)[0]
    assert (first["value"].tolist(), last["value"].tolist()) == ([2], [6])
    assert isinstance(gone, Gone)
    assert served.session.rows == [2]


def test_a_request_alone_runs_at_once(watched):
    served = replace(watched, row_seconds=1e-6)
    engine, who = Engine(Figures()), client()
    with pytest.raises(StopIteration) as end:
        engine.answer(served, values(1), who, alone=True).send(None)  # there is no loop it could wait for
    assert end.value.value["value"].tolist() == [2]
    assert who.note.run > 0
    assert who.note.queue == 0
    engine.close()
