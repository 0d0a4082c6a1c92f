"""Draws are repeatable, and alone."""

import threading

import torch
from hypothesis import given
from hypothesis import strategies as st

from tasks.models.randomness import derived_seed, seeded


def test_the_same_numbers_give_the_same_draws():
    with seeded(1, 2):
        first = torch.rand(5)
    with seeded(1, 2):
        again = torch.rand(5)
    with seeded(1, 3):
        other = torch.rand(5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_thread_inside_draws_undisturbed_by_one_that_waits():
    with seeded(7):
        expected = torch.rand(6)
    entered, drawn = threading.Event(), []

    def disturb():
        entered.set()
        with seeded(8):
            drawn.append(torch.rand(6))

    with seeded(7):
        first = torch.rand(3)
        thread = threading.Thread(target=disturb)
        thread.start()
        assert entered.wait(5)
        thread.join(0.1)
        assert not drawn
        second = torch.rand(3)
    thread.join(5)
    assert torch.equal(torch.cat([first, second]), expected)
    assert drawn


@given(st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_a_derived_seed_is_one_that_torch_takes(numbers):
    assert 0 <= derived_seed(*numbers) < 2**63
    assert derived_seed(*numbers) == derived_seed(*numbers)
    assert derived_seed(*numbers) != derived_seed(*numbers, 0)
