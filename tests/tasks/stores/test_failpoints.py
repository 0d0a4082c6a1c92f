import subprocess
import sys

import pytest

from tasks.contracts.errors import ConfigError, UnavailableError
from tasks.stores.failpoints import POINTS, failpoint


def test_nothing_happens_unless_it_is_asked_for(monkeypatch):
    monkeypatch.delenv("INGOT_FAILPOINT", raising=False)
    for point in POINTS:
        failpoint(point)


def test_a_point_that_shall_fail_fails_once(monkeypatch):
    monkeypatch.setattr("tasks.stores.failpoints._failed", set())
    monkeypatch.setenv("INGOT_FAILPOINT", "publish.after_commit:fail, promote.after_commit:fail")
    failpoint("publish.before_commit")
    for point in ("publish.after_commit", "promote.after_commit"):
        with pytest.raises(UnavailableError, match=f"{point} was told to fail by INGOT_FAILPOINT: unset it"):
            failpoint(point)
        failpoint(point)


def test_a_point_that_shall_kill_ends_the_process_at_once():
    code = "from tasks.stores.failpoints import failpoint; failpoint('promote.after_pointer'); print('survived')"
    environment = {"INGOT_FAILPOINT": "promote.after_pointer:kill", "PYTHONPATH": ":".join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (-9, "")


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ("publish.after_comit:kill", "did you mean 'publish.after_commit'"),
        ("publish.after_commit", "must end in :kill or :fail"),
        ("publish.after_commit:explode", "must end in :kill or :fail"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(monkeypatch, wish, words):
    monkeypatch.setenv("INGOT_FAILPOINT", wish)
    with pytest.raises(ConfigError, match=words):
        failpoint("publish.after_commit")
