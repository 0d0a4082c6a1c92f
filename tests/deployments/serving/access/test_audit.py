"""The chain: what it shows, what it forgives, and what it cannot show."""

import json
import shutil
import signal
import subprocess
import sys
from hashlib import sha256

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deployments.serving.access.audit import AuditLog, files_of
from deployments.serving.access.verification import verify
from tasks.contracts.errors import ConfigError, InputError, IntegrityError


def write(folder, count, *, most_bytes=2**20, start=0):
    log = AuditLog(folder, most_bytes)
    for number in range(start, start + count):
        log.add({"time": "t", "event": "request", "request": f"r{number}", "path": "/é/" + "x" * (number % 7)})
        log.sync()
    log.close()
    return log


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A chain of three processes, the first of which filled several files."""
    folder = tmp_path_factory.mktemp("whole") / "audit"
    write(folder, 12, most_bytes=600)
    write(folder, 5)
    write(folder, 4)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "audit")


def test_a_whole_chain_is_counted_and_its_head_is_the_digest_of_its_last_line(whole):
    (report,) = verify(whole)
    files = files_of(whole / "0")
    lines = [line for path in files for line in path.read_bytes().splitlines()]
    assert (report.slot, report.files, report.lines, report.torn_bytes) == ("0", len(files), len(lines), 0)
    assert report.files > 4
    assert report.head == sha256(lines[-1]).hexdigest()
    assert [json.loads(line)["previous"] for line in lines] == ["0" * 64, *(sha256(x).hexdigest() for x in lines[:-1])]
    assert [json.loads(x)["request"] for x in lines if b'"request":' in x] == [
        f"r{i}" for i in [*range(12), *range(5), *range(4)]
    ]


def broken(folder):
    with pytest.raises(IntegrityError) as told:
        verify(folder)
    return str(told.value)


@given(data=st.data())
@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_byte_that_is_changed_breaks_it(whole, tmp_path, data):
    path = data.draw(st.sampled_from(files_of(whole / "0")))
    before = path.read_bytes()
    at = data.draw(st.integers(0, len(before) - 1))
    content = bytearray(before)
    content[at] ^= data.draw(st.integers(1, 255))
    folder = shutil.copytree(whole, tmp_path / "audit", dirs_exist_ok=True)
    (folder / "0" / path.name).write_bytes(content)
    number = before[:at].count(b"\n") + 1
    assert f"{folder}/0/" in (words := broken(folder))
    following = files_of(whole / "0").index(path) + 1
    places = [f"{path.name}, line {number} ", f"{path.name}, line {number + 1} "]
    if following < len(files_of(whole / "0")):
        places.append(f"{files_of(whole / '0')[following].name}, line 1 ")
    assert any(place in words for place in places), words


@given(data=st.data())
@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_line_that_is_removed_doubled_moved_or_put_in_breaks_it(whole, tmp_path, data):
    path = data.draw(st.sampled_from(files_of(whole / "0")))
    lines = path.read_bytes().splitlines(keepends=True)
    at = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["remove", "double", "move", "put in"])):
        case "remove":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case "move":
            to = data.draw(st.integers(0, len(lines) - 1).filter(lambda n: n != at or len(lines) == 1))
            lines.insert(to, lines.pop(at))
        case "put in":
            previous = sha256(lines[at].rstrip()).hexdigest()
            lines.insert(at + 1, json.dumps({"previous": previous, "event": "request"}).encode() + b"\n")
    if b"".join(lines) == path.read_bytes():
        return
    folder = shutil.copytree(whole, tmp_path / "audit", dirs_exist_ok=True)
    (folder / "0" / path.name).write_bytes(b"".join(lines))
    broken(folder)


def test_a_missing_file_is_named(whole, tmp_path):
    for path in files_of(whole / "0"):
        folder = shutil.copytree(whole, tmp_path / "audit", dirs_exist_ok=True)
        (folder / "0" / path.name).unlink()
        assert "it was removed" in broken(folder)


def test_a_file_that_was_renamed_into_a_gap_is_found(copy):
    first, second, *_ = files_of(copy / "0")
    first.unlink()
    second.rename(first)
    assert "line 1 does not follow" in broken(copy)


def test_an_end_that_is_cut_off_shows_by_the_head_beside_it(copy):
    last = files_of(copy / "0")[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-2]))
    assert f"{last}, line {len(lines) - 1} is missing: {len(lines)} lines were written" in broken(copy)


def test_an_end_that_is_cut_off_with_its_head_shows_only_by_heads_kept_elsewhere(copy, whole):
    last = files_of(copy / "0")[-1]
    lines = last.read_bytes().splitlines(keepends=True)
    last.write_bytes(b"".join(lines[:-2]))
    last.with_suffix(".head").unlink()
    assert verify(copy)[0].head != verify(whole)[0].head


def test_a_torn_end_is_put_aside_by_the_next_start_and_forgiven_there_alone(copy):
    last = files_of(copy / "0")[-1]
    with last.open("ab") as file:
        file.write(b'{"previous":"abc')
    assert verify(copy)[0].torn_bytes == 16
    write(copy, 3)
    opening = json.loads(files_of(copy / "0")[-1].read_bytes().splitlines()[0])
    assert (opening["torn_bytes"], opening["torn_sha256"]) == (16, sha256(b'{"previous":"abc').hexdigest())
    assert verify(copy)[0].torn_bytes == 0
    last.write_bytes(last.read_bytes()[:-1])
    assert "says that 16 bytes were torn before it, but 15" in broken(copy)


def test_a_process_that_died_before_its_first_line_was_whole_does_not_break_the_chain(copy):
    number = len(files_of(copy / "0")) + 1
    (copy / "0" / f"{number:08d}-x.jsonl").write_bytes(b'{"prev')
    write(copy, 2)
    assert verify(copy)[0].files == number + 1


def test_processes_at_once_do_not_share_a_chain(tmp_path):
    first, second = AuditLog(tmp_path / "audit"), AuditLog(tmp_path / "audit")
    assert (first.slot, second.slot) == ("0", "1")
    first.close()
    third = AuditLog(tmp_path / "audit")
    assert third.slot == "0"
    second.close()
    third.close()
    assert [report.files for report in verify(tmp_path / "audit")] == [2, 1]


def test_a_log_is_verified_while_it_is_written(tmp_path):
    log = AuditLog(tmp_path / "audit", 500)
    for number in range(20):
        log.add({"event": "request", "request": str(number)})
        log.write() if number % 3 else log.sync()
        verify(tmp_path / "audit")
    log.close()


def test_what_json_cannot_say_is_written_all_the_same(tmp_path):
    log = AuditLog(tmp_path / "audit")
    log.add({"path": "/\ud800/\x00\n\x7f"})
    log.close()
    assert verify(tmp_path / "audit")[0].lines == 3


KILLED = """
import sys
from pathlib import Path
from deployments.serving.access.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), 20_000)
while True:
    for number in range(50):
        log.add({"event": "request", "path": "x" * number})
    log.write()
    log.sync()
    print("written", flush=True)
"""


def test_a_process_that_is_killed_leaves_a_chain_that_goes_on(tmp_path):
    for _ in range(4):
        command = [sys.executable, "-c", KILLED, str(tmp_path / "audit")]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
            for _ in range(5):
                child.stdout.readline()
            child.send_signal(signal.SIGKILL)
        verify(tmp_path / "audit")
    (report,) = verify(tmp_path / "audit")
    assert report.lines >= 4 * 5 * 50


def test_a_folder_without_a_log_is_named(tmp_path):
    with pytest.raises(InputError, match="holds no audit log"):
        verify(tmp_path)
    with pytest.raises(InputError, match="holds no audit log"):
        verify(tmp_path / "missing")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "audit").write_text("a file")
    with pytest.raises(ConfigError, match="must hold the audit log: correct INGOT_SERVING_STATE, or set INGOT_AUDIT=0"):
        AuditLog(tmp_path / "audit")


def test_the_log_is_nobody_elses_to_read(whole):
    assert {path.stat().st_mode & 0o077 for path in files_of(whole / "0")} == {0}
    assert (whole / "0").stat().st_mode & 0o077 == 0
