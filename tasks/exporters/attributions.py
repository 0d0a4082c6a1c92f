"""Which pixels and words move a network's answer: integrated gradients.

Source: Sundararajan, Taly and Yan 2017, Axiomatic Attribution for Deep Networks, section 3 (arXiv 1703.01365). What
is attributed is the logit of the class that the network answers, or the one value of a regression, against a black
image or a text without words. The attributions of a row sum to the difference of both logits, or values.
"""

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from tasks.contracts.errors import ModelError
from tasks.datasets.nodes import FIRST_WORD

STEPS = 32
ROWS_AT_ONCE = 32
MOST_SECONDS = 20.0
"""No rows are begun that would end later, by the time of those before: the answer then has fewer than were given."""
Answer = Callable[[Tensor], Tensor]
"""Rows (N, ...) to one number each (N,)."""


def integrated_gradients(answer: Answer, inputs: Tensor, baseline: Tensor, steps: int = STEPS) -> Tensor:
    """What each place of each row adds to its answer; the path's integral by the midpoint rule.

    Args:
        answer: Rows to one number each; no row may depend on another.
        inputs: (N, ...).
        baseline: Broadcast to it: what counts as nothing.
        steps: Gradients along the path.

    >>> weights = torch.tensor([2.0, -1.0])
    >>> integrated_gradients(lambda rows: rows @ weights, torch.tensor([[1.0, 3.0]]), torch.zeros(2)).tolist()
    [[2.0, -3.0]]
    """
    total = torch.zeros_like(inputs)
    with torch.enable_grad():
        for step in range(steps):
            point = (baseline + (step + 0.5) / steps * (inputs - baseline)).detach().requires_grad_()
            (gradient,) = torch.autograd.grad(answer(point).sum(), point)
            total += gradient
    return (inputs - baseline) * total / steps


def of_images(
    module: nn.Module,
    encoded: np.ndarray,
    black: np.ndarray,
    *,
    classes: bool = True,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[np.ndarray, np.ndarray]:
    """Attributions (N, C, H, W) towards the class that is answered, and those classes (N,).

    Args:
        module: The network.
        encoded: Encoded images (N, C, H, W).
        black: An encoded black image (C, H, W).
        classes: Whether it answers classes; else it is a value's attributions, and the classes are zeros.
        clock: Tells seconds.

    Raises:
        ModelError: No gradient comes through the network.
    """
    rows, against = torch.from_numpy(np.ascontiguousarray(encoded)), torch.from_numpy(black)
    return _attributed(
        module, rows, lambda answer, part: integrated_gradients(answer, part, against), classes=classes, clock=clock
    )


def of_texts(
    module: nn.Module, tokens: np.ndarray, vocabulary: int, *, classes: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Attributions (N, L) of token ids towards the class or value that is answered, and classes (N,), as of images.

    The path runs from no vector to each word's vector, so the network is asked with vectors of our own in place of
    what its embedding gives.

    Raises:
        ModelError: There is no embedding of so many words, or no gradient comes through.
    """
    embedding = next(
        (each for each in module.modules() if isinstance(each, nn.Embedding) and each.num_embeddings == vocabulary),
        None,
    )
    if embedding is None:
        raise ModelError(f"the network has no nn.Embedding of {vocabulary} words, but words are explained by it")
    rows = torch.from_numpy(np.ascontiguousarray(tokens))
    return _attributed(module, rows, lambda answer, part: _of_vectors(answer, part, embedding), classes=classes)


def _of_vectors(answer: Answer, tokens: Tensor, embedding: nn.Embedding) -> Tensor:
    vectors = embedding(tokens).detach()

    def with_vectors(point: Tensor) -> Tensor:
        hook = embedding.register_forward_hook(lambda *_: point)
        try:
            return answer(tokens)
        finally:
            hook.remove()

    return integrated_gradients(with_vectors, vectors, torch.zeros_like(vectors)).sum(-1)


def _attributed(
    module: nn.Module,
    rows: Tensor,
    attribute: Callable[[Answer, Tensor], Tensor],
    *,
    classes: bool,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[np.ndarray, np.ndarray]:
    was_training = module.training
    module.eval()
    found: list[np.ndarray] = []
    answered: list[np.ndarray] = []
    try:
        for part in _in_time(rows, clock):
            chosen, answer = _towards_class(module, part) if classes else _value(module, part)
            found.append(attribute(answer, part).numpy())
            answered.append(chosen.numpy())
    except (RuntimeError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"no gradient comes through the network ({reason[:200]})") from error
    finally:
        module.train(was_training)
    return np.concatenate(found), np.concatenate(answered)


def _in_time(rows: Tensor, clock: Callable[[], float]) -> Iterator[Tensor]:
    """The first row, which is timed, and parts of as many further ones as fit into the time that is left."""
    started, done, size = clock(), 0, 1
    while size and done < len(rows):
        yield rows[done : done + size]
        done = min(done + size, len(rows))
        spent = max(clock() - started, 1e-9)
        size = min(ROWS_AT_ONCE, int((MOST_SECONDS - spent) * done / spent)) if spent < MOST_SECONDS else 0


def _value(module: nn.Module, rows: Tensor) -> tuple[Tensor, Answer]:
    def answer(points: Tensor) -> Tensor:
        value: Tensor = module(points)[:, 0]
        return value

    return torch.zeros(len(rows), dtype=torch.long), answer


def _towards_class(module: nn.Module, rows: Tensor) -> tuple[Tensor, Answer]:
    """The classes and their logits; of two classes with one logit, class 0 has it turned round."""
    with torch.no_grad():
        first: Tensor = module(rows)
    chosen = first.argmax(1) if first.shape[1] > 1 else (first[:, 0] > 0).long()

    def answer(rows: Tensor) -> Tensor:
        logits: Tensor = module(rows)
        if logits.shape[1] > 1:
            return logits.gather(1, chosen[:, None])[:, 0]
        return logits[:, 0] * (2 * chosen - 1)

    return chosen, answer


def pooled(image: np.ndarray, most: int = 28) -> tuple[tuple[float, ...], ...]:
    """A map (H, W) of means, `most` x `most` at most.

    >>> pooled(np.arange(16.0).reshape(4, 4), 2)
    ((2.5, 4.5), (10.5, 12.5))
    """
    down, across = (np.array_split(np.arange(size), min(size, most)) for size in image.shape)
    return tuple(tuple(float(f"{image[np.ix_(y, x)].mean():.4g}") for x in across) for y in down)


def by_word(
    tokens: np.ndarray, scores: np.ndarray, classes: np.ndarray, words: Sequence[str]
) -> dict[tuple[str, int], list[float]]:
    """The scores of every occurrence of a word in texts of a class; padding and unknown words are left out."""
    found: dict[tuple[str, int], list[float]] = {}
    for row, position in zip(*np.nonzero(tokens >= FIRST_WORD), strict=True):
        key = words[int(tokens[row, position]) - FIRST_WORD], int(classes[row])
        found.setdefault(key, []).append(float(scores[row, position]))
    return found
