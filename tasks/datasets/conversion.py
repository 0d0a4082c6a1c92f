"""Cells that were read as words because some of them are: each as the number it is, if it is one."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.datasets.labels import WHOLE

NO_CLASS = -(2**63)
"""No class is called so: a class has 18 digits at most where it is read from words."""
NUMBER = r"(?i)^[-+]?((\d+\.?\d*|\.\d+)(e[-+]?\d+)?|inf|infinity)$"
EMPTY = pa.array(
    ["", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL",
     "NaN", "n/a", "nan", "null"]
)  # fmt: skip
"""What stands for a missing number; pyarrow's list for CSV."""
TRUE, FALSE = pa.array(["true", "True", "TRUE"]), pa.array(["false", "False", "FALSE"])


def as_numbers(words: pa.Array, *, truths: bool = True) -> tuple[pa.Array, np.ndarray]:
    """Words as float64, and a mask of those that are neither a number nor empty; these become null.

    Args:
        words: As they were read.
        truths: Whether true is 1 and false 0, as a column of them would be.

    >>> as_numbers(pa.array(["1.5", " 2", "old", "NA", "true"]))[0].to_pylist()
    [1.5, 2.0, None, None, 1.0]
    """
    text = pc.utf8_trim_whitespace(words)
    text = pc.if_else(pc.is_in(text, EMPTY), None, text)
    if truths:
        text = pc.if_else(pc.is_in(text, TRUE), "1", pc.if_else(pc.is_in(text, FALSE), "0", text))
    numeric = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
    values = pc.cast(pc.if_else(numeric, text, None), pa.float64())
    return values, np.asarray(pc.and_(pc.is_valid(text), pc.invert(numeric)))


def as_wholes(words: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Words as int64, to the last digit, and the same mask; a number that is not whole becomes `NO_CLASS`.

    >>> as_wholes(pa.array(["9007199254740993", "3.0", "NA"]))[0].to_pylist()
    [9007199254740993, 3, None]
    """
    numbers, strange = as_numbers(words, truths=False)
    text = pc.utf8_trim_whitespace(words)
    plain = pc.fill_null(pc.match_substring_regex(text, f"^({WHOLE.pattern})$"), False)
    exact = pc.cast(pc.if_else(plain, text, None), pa.int64())
    whole = pc.and_(pc.equal(pc.trunc(numbers), numbers), pc.less(pc.abs(numbers), 2.0**53))
    return pc.coalesce(exact, pc.cast(pc.if_else(whole, numbers, float(NO_CLASS)), pa.int64())), strange


def as_truths(words: pa.Array) -> pa.Array:
    """Words with every spelling of true and false in lower case, as labels have them."""
    return pc.if_else(pc.is_in(words, TRUE), "true", pc.if_else(pc.is_in(words, FALSE), "false", words))
