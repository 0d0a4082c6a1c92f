import os
import stat
import threading

import pytest

from deployments.local.home import Home, last_lines, open_log, write_privately
from tasks.contracts.errors import ConfigError, UnavailableError


@pytest.fixture
def home(tmp_path):
    made = Home(tmp_path / "home")
    made.prepare()
    return made


def test_is_closed_to_everybody_else(home):
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_closes_a_folder_that_stood_open(tmp_path):
    (tmp_path / "home").mkdir(mode=0o755)
    Home(tmp_path / "home").prepare()
    assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700


def test_refuses_a_home_that_is_a_file(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigError, match=r"INGOT_HOME is .*home, but must be a folder of yours: File exists"):
        Home(tmp_path / "home").prepare()


def test_what_is_written_privately_is_readable_by_its_owner_alone(home):
    write_privately(home.root / "keys", b"secret")
    assert stat.S_IMODE((home.root / "keys").stat().st_mode) == 0o600
    assert [path.name for path in home.root.iterdir() if path.is_file()] == ["keys"]


def test_a_lock_is_held_by_one_at_a_time(home):
    with home.locked("up"):
        with pytest.raises(UnavailableError, match="in use by another up: wait for it"), home.locked("up", wait=False):
            pass
        with home.locked("supervisor", wait=False):
            pass
    with home.locked("up", wait=False):
        pass


def test_who_waits_for_a_lock_gets_it_when_it_is_free(home):
    order = []

    def second():
        with home.locked("up"):
            order.append("second")

    with home.locked("up"):
        thread = threading.Thread(target=second)
        thread.start()
        order.append("first")
    thread.join(timeout=10)
    assert order == ["first", "second"]


def test_a_log_is_appended_to_until_it_is_large(home):
    for line in (b"one\n", b"two\n"):
        descriptor = open_log(home.log("part"))
        os.write(descriptor, line)
        os.close(descriptor)
    assert home.log("part").read_bytes() == b"one\ntwo\n"
    os.truncate(home.log("part"), 9 * 2**20)
    os.close(open_log(home.log("part")))
    assert home.log("part").stat().st_size == 0
    assert home.log("part").with_suffix(".log.1").stat().st_size == 9 * 2**20


def test_the_end_of_a_log_is_its_last_lines_without_blank_ones(home):
    home.log("part").write_text("".join(f"line {i}\n\n" for i in range(5000)))
    assert last_lines(home.log("part"), 2) == ["line 4998", "line 4999"]
    assert last_lines(home.root / "absent") == []
