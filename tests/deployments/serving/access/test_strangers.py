from deployments.serving.access import strangers
from deployments.serving.access.strangers import Strangers


def test_an_address_may_fail_a_few_times_and_then_once_a_second():
    some = Strangers()
    assert [some.wait("a", 100.0) for _ in range(20)] == [0.0] * 20
    assert some.wait("a", 100.0) == 1.0
    assert some.wait("b", 100.0) == 0.0
    assert some.wait("a", 100.5) == 0.5
    assert some.wait("a", 101.0) == 0.0
    assert some.wait("a", 101.0) == 1.0


def test_a_quiet_time_forgives():
    some = Strangers()
    for _ in range(30):
        some.wait("a", 0.0)
    assert [some.wait("a", 60.0) for _ in range(20)] == [0.0] * 20


def test_addresses_without_end_take_no_memory_without_end(monkeypatch):
    monkeypatch.setattr(strangers, "_MOST_PEERS", 10)
    some = Strangers()
    for number in range(1000):
        assert some.wait(str(number), 0.0) == 0.0
        assert len(some._full_at) <= 10
