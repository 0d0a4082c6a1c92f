"""Rates and quotas, against a token bucket of another make, and over real processes."""

import multiprocessing
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.serving.access import allowances as module
from deployments.serving.access.allowances import LEASE_SECONDS, Allowances
from tasks.contracts.access import ApiKey
from tasks.contracts.errors import ConfigError

DAY = 86_400
NOON = 20_000 * DAY + DAY / 2


def key(number=1, **limits):
    return ApiKey(id=f"{number:08x}", name="a", sha256=f"{number:064x}", created_at="", **limits)


class Bucket:
    """A token bucket as the textbooks draw it: a level that rises with time and is capped."""

    def __init__(self, rate):
        self.rate, self.burst = rate, max(1.0, rate)
        self.level, self.at = self.burst, None

    def take(self, now):
        if self.at is not None:
            self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1 - 1e-6:
            return False
        self.level -= 1
        return True


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("allowances")


FILES = iter(range(1_000_000))


def opened(folder):
    return Allowances(folder / f"file-{next(FILES)}")


@given(
    rate=st.integers(1, 19).map(float) | st.sampled_from([0.25, 0.5, 1.5]),
    pauses=st.lists(st.integers(0, 300).map(lambda n: n / 64), min_size=1, max_size=150),
)
@settings(deadline=None, max_examples=60)
def test_a_slow_rate_lets_in_exactly_what_a_token_bucket_does(folder, rate, pauses):
    """Leases are of one request there, so nothing is forfeited."""
    book, reference = opened(folder), Bucket(rate)
    (allowance,) = book.of([key(rate_per_second=rate)]).values()
    now = 1000.0
    for pause in pauses:
        now += pause
        assert (book.take(allowance, now, NOON) is None) == reference.take(now)
    book.close()


@given(
    rate=st.floats(20, 5000),
    workers=st.integers(1, 4),
    arrivals=st.lists(st.tuples(st.integers(0, 3), st.floats(0, 0.05)), min_size=1, max_size=400),
)
@settings(deadline=None, max_examples=40)
def test_no_number_of_workers_gets_more_than_burst_and_rate(folder, rate, workers, arrivals):
    path = folder / f"file-{next(FILES)}"
    books = [Allowances(path) for _ in range(workers)]
    held = [book.of([key(rate_per_second=rate)])["00000001"] for book in books]
    now, admitted = 1000.0, []
    for worker, pause in arrivals:
        now += pause
        for _ in range(8):
            if books[worker % workers].take(held[worker % workers], now, NOON) is None:
                admitted.append(now)
    for start in range(0, len(admitted), 7):
        for end in range(start, len(admitted), 13):
            span = admitted[end] - admitted[start]
            assert end - start + 1 <= rate + rate * (span + LEASE_SECONDS) + 1e-6
    for book in books:
        book.close()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("rate", [30.0, 100.0, 1000.0])
def test_whoever_keeps_to_the_rate_is_never_refused_however_many_workers_ask_at_once(folder, rate, workers):
    path = folder / f"file-{next(FILES)}"
    books = [Allowances(path) for _ in range(workers)]
    held = [book.of([key(rate_per_second=rate)])["00000001"] for book in books]
    for turn in range(int(10 * rate / workers)):  # ten seconds: ten times the burst
        now = 1000.0 + 1.1 * turn * workers / rate
        assert all(book.take(each, now, NOON) is None for book, each in zip(books, held, strict=True))
    for book in books:
        book.close()


def test_who_waits_as_long_as_told_gets_in(folder):
    book = opened(folder)
    (allowance,) = book.of([key(rate_per_second=2)]).values()
    now = 1000.0
    assert [book.take(allowance, now, NOON) for _ in range(2)] == [None, None]
    wait = book.take(allowance, now, NOON)
    assert (wait.seconds, wait.daily) == (pytest.approx(0.5), False)
    assert book.take(allowance, now + wait.seconds - 0.01, NOON).seconds == pytest.approx(0.01)
    assert book.take(allowance, now + wait.seconds, NOON) is None


@given(daily=st.integers(1, 600), workers=st.integers(1, 4), order=st.lists(st.integers(0, 3), max_size=900))
@settings(deadline=None, max_examples=40)
def test_a_quota_is_never_exceeded_and_whoever_asks_on_gets_all_of_it(folder, daily, workers, order):
    path = folder / f"file-{next(FILES)}"
    books = [Allowances(path) for _ in range(workers)]
    held = [book.of([key(daily=daily)])["00000001"] for book in books]
    admitted = 0
    for worker in order:
        admitted += books[worker % workers].take(held[worker % workers], 1000.0, NOON) is None
    stranded = (workers - 1) * max(1, daily // 256)
    assert min(len(order), daily) - stranded <= admitted <= daily
    for book in books[1:]:
        book.close()  # they give back what they did not spend
    later = 1000.0
    for _ in range(daily + 1):
        later += 2
        admitted += books[0].take(held[0], later, NOON) is None
    assert admitted == daily
    wait = books[0].take(held[0], later, NOON)
    assert (wait.seconds, wait.daily) == (DAY / 2, True)
    assert books[0].take(held[0], later + 9, NOON + DAY) is None
    books[0].close()


def test_a_request_that_the_rate_refuses_does_not_count_against_the_quota(folder):
    book = opened(folder)
    (allowance,) = book.of([key(rate_per_second=1, daily=2)]).values()
    assert book.take(allowance, 0.0, NOON) is None
    assert all(not book.take(allowance, 0.5, NOON).daily for _ in range(10))
    assert book.take(allowance, 1.0, NOON) is None
    assert book.take(allowance, 2.0, NOON).daily


def test_a_restart_forgets_no_quota_and_a_reboot_no_key(folder):
    path = folder / f"file-{next(FILES)}"
    for _ in range(3):
        book = Allowances(path)
        (allowance,) = book.of([key(daily=3, rate_per_second=100)]).values()
        assert book.take(allowance, 1e6, NOON) is None
        book.close()
    book = Allowances(path)
    (allowance,) = book.of([key(daily=3, rate_per_second=100)]).values()
    assert book.take(allowance, 5.0, NOON).daily  # the monotonic clock began anew: no wait of a million seconds
    assert book.take(allowance, 6.0, NOON + DAY) is None


def test_keys_do_not_share_an_allowance(folder):
    book = opened(folder)
    held = book.of([key(number, daily=1) for number in range(1, 300)])
    assert all(book.take(each, 1.0, NOON) is None for each in held.values())
    assert all(book.take(each, 1.0, NOON).daily for each in held.values())
    again = Allowances(folder / f"file-{next(FILES) - 1}")
    held = again.of([key(number, daily=1) for number in range(299, 0, -1)])
    assert all(again.take(each, 1.0, NOON).daily for each in held.values())


def test_a_key_without_limits_or_revoked_needs_none(folder):
    book = opened(folder)
    assert book.of([key(1), key(2, daily=1, revoked_at="2026-01-01T00:00:00+00:00")]) == {
        "00000001": None,
        "00000002": None,
    }


def test_a_file_that_is_full_says_so(folder, monkeypatch):
    monkeypatch.setattr(module, "_SLOTS", 2)
    book = opened(folder)
    with pytest.raises(ConfigError, match="holds allowances of 2 keys"):
        book.of([key(number, daily=1) for number in (1, 2, 3)])


def test_a_folder_that_is_not_ours_is_named(tmp_path):
    with pytest.raises(ConfigError, match="must be a folder we can write"):
        Allowances(tmp_path / "missing" / "file")


def spend(path, limits, seconds, results):
    book = Allowances(path)
    (allowance,) = book.of([key(**limits)]).values()
    start = now = time.monotonic()
    admitted = 0
    while now < start + seconds:
        admitted += book.take(allowance, now, NOON) is None
        now = time.monotonic()
    book.close()
    results.put((admitted, start, now))


@pytest.mark.parametrize("limits", [{"daily": 20_000}, {"rate_per_second": 2000.0}])
def test_real_processes_together_keep_to_a_limit(tmp_path, limits):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    workers = [context.Process(target=spend, args=(tmp_path / "file", limits, 1.0, results)) for _ in range(4)]
    for worker in workers:
        worker.start()
    counts, starts, ends = zip(*(results.get(timeout=60) for _ in workers), strict=True)
    for worker in workers:
        worker.join()
    span = max(ends) - min(starts)
    most = limits.get("daily") or 2000 * (1 + span + LEASE_SECONDS)
    least = limits.get("daily") or 2000
    assert least <= sum(counts) <= most
