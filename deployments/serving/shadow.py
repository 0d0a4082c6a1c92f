"""The shadow is asked what was just answered, and only its agreement is kept: nobody waits for it, nobody hears it.

One thread of the lowest priority; what it has no time for is dropped and counted.
"""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from deployments.serving.figures import (
    AGREED,
    SHADOW_APART,
    SHADOW_DROPPED,
    SHADOW_FAILED,
    SHADOW_ROWS,
    SHADOWED,
    Figures,
)
from deployments.serving.library import Served
from deployments.serving.question import Arrays, Question
from tasks.contracts.errors import GraphError
from tasks.runtime.slices import run_in_slices

_MOST_WAITING = 8
_LOWEST_PRIORITY = 19


class Shadow:
    """Compares a shadow's answers with those that were given.

    Args:
        figures: Where agreement is counted.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = ThreadPoolExecutor(1, "ingot-shadow", initializer=_step_back)

    def compare(self, shadow: Served, question: Question, answer: Arrays) -> None:
        """Asks the shadow once there is time; returns at once."""
        labels = (shadow.model, shadow.version)
        with self._lock:
            if self._waiting >= _MOST_WAITING:
                self._figures.add(SHADOW_DROPPED, labels)
                return
            self._waiting += 1
        self._thread.submit(self._compare, shadow, question, answer)

    def close(self) -> None:
        """Forgets what still waits."""
        self._thread.shutdown(cancel_futures=True)

    def _compare(self, shadow: Served, question: Question, answer: Arrays) -> None:
        labels = (shadow.model, shadow.version)
        try:
            other = run_in_slices(shadow.session, question.inputs)
            self._count(labels, question.rows, answer, other)
        except (GraphError, KeyError, ValueError):  # other inputs or outputs than the champion's
            self._figures.add(SHADOW_FAILED, labels)
        finally:
            with self._lock:
                self._waiting -= 1

    def _count(self, labels: tuple[str, ...], rows: int, answer: Arrays, other: Arrays) -> None:
        apart = max((_apart(answer[name], other[name]) for name in answer if answer[name].dtype.kind == "f"), default=0)
        if "label" in answer:
            self._figures.add(AGREED, labels, by=int((answer["label"] == other["label"]).sum()))
        self._figures.add(SHADOWED, labels)
        self._figures.add(SHADOW_ROWS, labels, by=rows)
        self._figures.highest(SHADOW_APART, labels, apart)


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one - other).max())


def _step_back() -> None:
    with contextlib.suppress(OSError, AttributeError):  # a thread has a priority of its own on Linux alone
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)
