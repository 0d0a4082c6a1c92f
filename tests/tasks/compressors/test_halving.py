"""Successive halving, against brute force over the budgets and over who can still win."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.compressors.halving import rounds, survivors
from tasks.contracts.artifacts import Architecture, Artifact, Network

NOTHING = Architecture(family="mlp", input_shape=(2,), output_size=2, hidden_sizes=(4,))


def network(name, metric, parameters, size_bytes=None):
    size = 4 * parameters if size_bytes is None else size_bytes
    file = Artifact(uri="s3://b/x", sha256="0" * 64, size_bytes=size, chunks=())
    return Network(
        name=name, file=file, architecture=NOTHING, loss="cross_entropy", parameters=parameters, metric=metric
    )


DENSE = network("dense", 0.98, 1000)


def names(networks):
    return [each.name for each in networks]


def halved(networks, max_drop=1.0, task="classification", dense=DENSE):
    return survivors(networks, dense, task=task, max_drop=max_drop)


@given(st.integers(0, 40), st.integers(0, 60))
def test_every_epoch_is_given_out_once_and_rounds_about_double(networks, epochs):
    given_out = rounds(networks, epochs)
    assert sum(given_out) == epochs
    assert all(each >= 1 for each in given_out) or given_out == (0,)
    for one, other in pairwise(given_out):
        assert one < other <= 2 * one + 2
    after = networks
    for _ in given_out[1:]:
        assert after > 2, "nothing was left to halve"
        after = (after + 1) // 2
    assert after <= 2 or epochs < 2 ** (len(given_out) + 1) - 1


def test_a_search_of_twelve_costs_less_than_half_of_training_them_all():
    counts, given_out = (12, 6, 3), rounds(12, 10)
    assert sum(count * each for count, each in zip(counts, given_out, strict=True)) == 48 < 120 / 2


def test_of_networks_that_all_lose_too_much_the_better_half_goes_on():
    kept, dropped = halved([network(f"n{i}", 0.9 + i / 100, 100 + i) for i in range(5)])
    assert names(kept) == ["n2", "n3", "n4"]
    assert [(each.name, each.rung, each.reason) for each in dropped] == [
        ("n1", "finetune", "it loses 7, and of the half that goes on none more than 6"),
        ("n0", "finetune", "it loses 8, and of the half that goes on none more than 6"),
    ]


def test_the_smallest_that_keeps_the_budget_stays_and_larger_ones_are_given_up():
    networks = [network("a", 0.98, 800), network("b", 0.975, 400), network("c", 0.972, 300), network("d", 0.9, 100)]
    kept, dropped = halved(networks)
    assert names(kept) == ["c", "d"]
    assert {each.name: each.reason for each in dropped} == {
        "a": "it has 800 weights and cannot win: smaller ones keep max_drop already, c (300)",
        "b": "it has 400 weights and cannot win: smaller ones keep max_drop already, c (300)",
    }


def test_small_on_disk_and_small_in_transit_are_both_kept():
    cut = network("channels-50", 0.979, 500)
    zeroed = network("magnitude-95", 0.979, 50, size_bytes=4000)
    both = network("channels-50-magnitude-95", 0.95, 25, size_bytes=2000)
    weaker = network("magnitude-90", 0.979, 100, size_bytes=4000)
    kept, dropped = halved([cut, zeroed, both, weaker])
    assert names(kept) == ["channels-50", "magnitude-95"]
    assert names(dropped) == ["magnitude-90", "channels-50-magnitude-95"]


def test_the_loss_of_a_regression_is_in_per_cent_of_rmse():
    dense = network("dense", 50.0, 1000)
    networks = [network("a", 50.4, 500), network("b", 51.0, 200), network("c", 40.0, 600)]
    kept, _ = halved(networks, task="regression", dense=dense)
    assert names(kept) == ["a", "b"]


FIGURES = st.tuples(st.integers(90, 99), st.integers(1, 9), st.integers(1, 9))


@given(st.lists(FIGURES, min_size=1, max_size=12), st.sampled_from([0.0, 1.0, 4.0]))
def test_nobody_that_could_win_is_given_up_for_one_that_could_not(figures, max_drop):
    networks = [network(f"n{i}", m / 100, p, size_bytes=s) for i, (m, p, s) in enumerate(figures)]
    kept, dropped = halved(networks, max_drop)
    assert sorted(names(kept) + names(dropped)) == sorted(names(networks))
    assert 1 <= len(kept) <= max(2, (len(networks) + 1) // 2)
    inside = [each for each in networks if 98 - 100 * each.metric <= max_drop + 1e-6]
    if inside:
        lightest = min(each.parameters for each in inside), min(each.file.size_bytes for each in inside)
        found = [each for each in kept if each in inside]
        least = min(each.parameters for each in found), min(each.file.size_bytes for each in found)
        assert least == lightest
    for loser in (each for each in networks if each not in kept):
        hopeless = any(k.parameters <= loser.parameters for k in inside if k is not loser) and any(
            k.file.size_bytes <= loser.file.size_bytes for k in inside if k is not loser
        )
        assert hopeless or all(k.metric >= loser.metric for k in kept)


def test_one_network_is_never_given_up():
    (kept,), dropped = halved([network("a", 0.1, 10)])
    assert kept.name == "a" and dropped == ()


@pytest.mark.parametrize("module", ["halving", "plans"])
def test_a_flow_reads_it_without_torch(module):
    program = f"import sys, tasks.compressors.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
