"""Runs questions: those that arrive together share one run, without a timer.

A question that comes while nothing else is under way is run at once. Else it joins its version's line, and the line
is run as soon as the event loop has heard all who spoke at the same time. Light runs stay on the loop; heavy ones go
to a few threads (ONNX Runtime releases the GIL), and while all of them work, what arrives gathers for the next run.
A long batch never joins a line: it would hold the short ones up.
"""

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import numpy as np

from deployments.serving.exchange import Gone, Request
from deployments.serving.figures import Figures
from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question
from deployments.serving.refusal import Refusal
from tasks.runtime.session import Session
from tasks.runtime.slices import MOST_ROWS, run_in_slices

Outcome = Arrays | Exception
P = ParamSpec("P")
T = TypeVar("T")

LIGHT_SECONDS = 0.001
"""A hop to a thread and back costs about 0.1 ms: below ten times that, it is not worth it."""
LONGEST_SHARED_ROWS = 64
"""A heavy question of more rows is run by itself, beside its version's line."""
_QUEUE_ROWS = 100_000


class _Waiting:
    """A question in line."""

    __slots__ = ("answer", "question", "request", "served", "since")

    def __init__(self, served: Served, question: Question, request: Request, answer: "asyncio.Future[Arrays]") -> None:
        self.served = served
        self.question = question
        self.request = request
        self.answer = answer
        self.since = time.perf_counter()


class _Line:
    """What waits for one session, and how many runs of it are under way in threads."""

    __slots__ = ("running", "scheduled", "served", "waiting")

    def __init__(self, served: Served) -> None:
        self.served = served
        self.waiting: list[_Waiting] = []
        self.running = 0
        self.scheduled = False


class Engine:
    """Answers questions on one event loop.

    Args:
        figures: Where runs are counted.
        most_rows: Rows that may wait or run at once; a question beyond that is refused with 429.
        threads: Heavy runs at once.
    """

    def __init__(self, figures: Figures, most_rows: int = _QUEUE_ROWS, threads: int = 0) -> None:
        self._figures = figures
        self._most_rows = most_rows
        self._workers = threads or os.cpu_count() or 1
        self._threads = ThreadPoolExecutor(self._workers, thread_name_prefix="ingot-run")
        self._lines: dict[Session, _Line] = {}
        self.rows = 0
        """Rows that wait or run now."""

    async def answer(self, served: Served, question: Question, request: Request, *, alone: bool = False) -> Arrays:
        """The outputs for a question, equal to those it would get if it were the only one.

        Args:
            served: Kept to the question's end, whatever becomes champion meanwhile.
            question: What is asked.
            request: Who asks; it is skipped if its client has hung up.
            alone: Whether no other request is under way: there is nothing to wait for then.

        Raises:
            Refusal: 429 if too many rows wait already.
            Gone: If the client hung up before its turn.
            GraphError: If the graph does not run on it.
        """
        if self.rows and self.rows + question.rows > self._most_rows:
            raise _overload(self.rows, self._most_rows)
        self.rows += question.rows
        try:
            return await self._answer(served, question, request, alone)
        finally:
            self.rows -= question.rows

    async def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs work in a thread, so that the loop goes on."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """Waits for what still runs, and lets the threads go."""
        self._threads.shutdown()

    async def _answer(self, served: Served, question: Question, request: Request, alone: bool) -> Arrays:
        seconds = question.rows * served.row_seconds
        light, start = seconds <= LIGHT_SECONDS, time.perf_counter()
        if served.shares and not alone and (light or question.rows <= LONGEST_SHARED_ROWS):
            return await self._queued(served, question, request)
        if light:
            outputs = run_in_slices(served.session, question.inputs)
        else:
            outputs = await self.aside(run_in_slices, served.session, question.inputs)
        request.note.run = request.note.run_seconds = time.perf_counter() - start
        self._figures.ran(served.model, 1)
        return outputs

    def _queued(self, served: Served, question: Question, request: Request) -> "asyncio.Future[Arrays]":
        loop = asyncio.get_running_loop()
        line = self._lines.get(served.session)
        if line is None:
            line = self._lines[served.session] = _Line(served)
        waiting = _Waiting(served, question, request, loop.create_future())
        line.waiting.append(waiting)
        if not line.scheduled and line.running < self._workers:
            line.scheduled = True
            loop.call_soon(self._flush, line)
        return waiting.answer

    def _flush(self, line: _Line) -> None:
        line.scheduled = False
        while line.waiting and line.running < self._workers:
            group = _present(line.waiting[:MOST_ROWS])
            del line.waiting[:MOST_ROWS]
            if sum(each.question.rows for each in group) * line.served.row_seconds <= LIGHT_SECONDS:
                self._settle(group, *_run(line.served.session, group))
            else:
                self._start(line, group)
        if not line.waiting and not line.running:
            self._lines.pop(line.served.session, None)

    def _start(self, line: _Line, group: list[_Waiting]) -> None:
        """Runs in a thread what one thread should take; the rest goes back to the head of the line."""
        share = -(-len(group) // (self._workers - line.running))
        line.waiting[:0] = group[share:]
        group = group[:share]
        line.running += 1
        work = asyncio.get_running_loop().run_in_executor(self._threads, _run, line.served.session, group)

        def ended(done: "asyncio.Future[tuple[list[Outcome], float, float]]") -> None:
            line.running -= 1
            self._flush(line)
            self._settle(group, *done.result())

        work.add_done_callback(ended)

    def _settle(self, group: list[_Waiting], outcomes: list[Outcome], start: float, seconds: float) -> None:
        if group:
            self._figures.ran(group[0].served.model, len(group))
        rows = sum(each.question.rows for each in group)
        for each, outcome in zip(group, outcomes, strict=True):
            note = each.request.note
            note.queue, note.run, note.run_seconds = start - each.since, seconds, seconds * each.question.rows / rows
            if each.answer.done():  # its task was cancelled
                continue
            if isinstance(outcome, Exception):
                each.answer.set_exception(outcome)
            else:
                each.answer.set_result(outcome)


def _present(waiting: list[_Waiting]) -> list[_Waiting]:
    """Those whose clients are still there; the others are told, and ask for no run."""
    gone = [each for each in waiting if each.answer.done() or each.request.gone]
    if not gone:
        return waiting
    for each in gone:
        if not each.answer.done():
            each.answer.set_exception(Gone())
    return [each for each in waiting if not each.answer.done()]


def _run(session: Session, group: list[_Waiting]) -> tuple[list[Outcome], float, float]:
    """What became of each question, when the run began, and how long it took."""
    start = time.perf_counter()
    outcomes = _together(session, [each.question for each in group])
    return outcomes, start, time.perf_counter() - start


def _together(session: Session, questions: Sequence[Question]) -> list[Outcome]:
    if len(questions) > 1:
        try:
            joined = {name: np.concatenate([each.inputs[name] for each in questions]) for name in questions[0].inputs}
            return _parts(run_in_slices(session, joined), questions)
        except Exception:  # noqa: BLE001, S110 - an edge: whoever waits must not wait for ever
            pass  # one of them is to blame: by itself each gets what it deserves
    return [_alone(session, each) for each in questions]


def _parts(outputs: Arrays, questions: Sequence[Question]) -> list[Outcome]:
    parts: list[Outcome] = []
    start = 0
    for question in questions:
        end = start + question.rows
        parts.append({name: array[start:end] for name, array in outputs.items()})
        start = end
    return parts


def _alone(session: Session, question: Question) -> "Outcome":
    try:
        return run_in_slices(session, question.inputs)
    except Exception as error:  # noqa: BLE001 - an edge: whoever waits for this answer must hear of it
        return error


def _overload(rows: int, most: int) -> Refusal:
    message = f"{rows} rows wait for their answer, but only {most} may (INGOT_QUEUE_ROWS): try again in a second"
    return Refusal("overloaded", message, status=429, headers=((b"retry-after", b"1"),))
