"""A request that passed validation: what to run, and how to word the answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deployments.serving.library import Served
from deployments.serving.refusal import Refusal
from deployments.serving.reply import Reply

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Question:
    """Arrays that fit the signature; nothing about the request can fail after this but the run itself."""

    inputs: dict[str, np.ndarray]
    rows: int
    word: Callable[[Arrays], Reply]
    """Output arrays to what is sent."""


class Dialect(Protocol):
    """How a body becomes a question: one for each protocol that is spoken."""

    def __call__(self, served: Served, body: bytes) -> Question:
        """Reads a body, unpacked but not parsed, against the served version's signature.

        Raises:
            Refusal: If it does not fit.
        """


def finite(outputs: Arrays) -> Arrays:
    """The outputs, if a number stands everywhere.

    Raises:
        Refusal: If an input was so large that the network overflowed: JSON has no NaN, and null is no answer.
    """
    for name, array in outputs.items():
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            row = int(np.argwhere(~np.isfinite(array))[0][0])
            message = (
                f"row {row} has no finite {name}, but must have one: send values of the size the model was trained on"
            )
            raise Refusal("no_answer", message, field=f"inputs[{row}]")
    return outputs
