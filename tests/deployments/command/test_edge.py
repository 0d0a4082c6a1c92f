import os
import signal
import subprocess
import sys
import time

import pytest
import typer

from deployments.command.app import app
from deployments.command.edge import guarded


def break_down(how: str) -> None:
    """Fail in one of many ways, for the tests of the edge."""
    from tasks.contracts.errors import DataError, TrainingError

    errors = {
        "data": DataError("rows.csv is empty, but must hold rows: give another"),
        "training": TrainingError("loss is nan, but must be finite: lower the learning rate"),
        "bug": KeyError("weights"),
        "abort": typer.Abort(),
        "interrupt": KeyboardInterrupt(),
        "exit": typer.Exit(3),
    }
    raise errors[how]


@pytest.fixture(autouse=True, scope="module")
def one_more_command():
    app.command(hidden=True)(break_down)
    yield
    app.registered_commands.pop()


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("INGOT_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.mark.parametrize(
    ("how", "code", "line"),
    [
        ("data", 2, "error: rows.csv is empty, but must hold rows: give another\n"),
        ("training", 1, "error: loss is nan, but must be finite: lower the learning rate\n"),
        ("abort", 130, ""),
        ("interrupt", 130, ""),
        ("exit", 3, ""),
    ],
)
def test_what_goes_wrong_leaves_as_a_line_and_a_code(capsys, how, code, line):
    assert guarded(["break-down", how]) == code
    assert capsys.readouterr().err == line


def test_an_error_nobody_foresaw_leaves_its_traceback_in_a_file(capsys, home):
    assert guarded(["break-down", "bug"]) == 1
    log = home / "logs" / "command.log"
    assert capsys.readouterr().err == (
        f"error: KeyError is not a user's fault, but must be mended ('weights'): the traceback is in {log}\n"
    )
    assert "raise errors[how]" in log.read_text()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["runn"], "error: No such command 'runn'. Did you mean 'run'?: see `ingot --help`\n"),
        (["run", "--epochs", "3"], "error: No such option: --epochs: see `ingot run --help`\n"),
        (["run", "digits", "more"], "error: Got unexpected extra argument(s) (more): see `ingot run --help`\n"),
        (["serve", "--port", "http"], "Invalid value for '--port'"),
        (["run", "digit"], "error: deployment 'digit' does not exist: did you mean 'digits'?"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(capsys, arguments, line):
    assert guarded(arguments) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1


def test_a_wrong_variable_is_one_line_and_code_2(capsys, monkeypatch):
    monkeypatch.setenv("INGOT_S3_PORT", "many")
    assert guarded(["status"]) == 2
    assert capsys.readouterr().err.startswith("error: INGOT_S3_PORT is 'many', but must be a valid integer: port of")


def test_a_variable_may_stand_in_a_file(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INGOT_MLFLOW_PORT", raising=False)
    (tmp_path / ".env").write_text("INGOT_MLFLOW_PORT=few\n")
    assert guarded(["status"]) == 2
    assert capsys.readouterr().err.startswith("error: INGOT_MLFLOW_PORT is 'few'")


def test_a_stack_that_does_not_run_is_told_with_code_1(capsys, home):
    assert guarded(["status"]) == 1
    assert capsys.readouterr().out == f"no stack runs in {home}: start it with `ingot up`\n"
    assert guarded(["down"]) == 0
    assert not home.exists()


def test_help_imports_nothing_heavy():
    code = (
        "import sys; sys.argv = ['ingot', '--help']\n"
        "from deployments.command import main\n"
        "try: main()\n"
        "except SystemExit as end: assert end.code == 0\n"
        "heavy = {'torch', 'prefect', 'mlflow', 'pydantic', 'boto3', 'httpx', 'numpy'} & set(sys.modules)\n"
        "sys.stderr.write(repr(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "set()"
    for command in ("up", "down", "status", "doctor", "run", "deploy", "serve"):
        assert f"\n  {command} " in done.stdout


def test_ctrl_c_ends_quietly_with_130(tmp_path):
    code = (
        "import sys, time\n"
        "from deployments.command.app import app\n"
        "from deployments.command.edge import guarded\n"
        "app.command()(lambda: (print('at work', flush=True), time.sleep(60)))\n"
        "app.registered_commands[-1].name = 'work'\n"
        "sys.exit(guarded(['work']))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"at work\n"
        time.sleep(0.1)
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, b"", b"")
