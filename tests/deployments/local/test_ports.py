import os
import socket
import subprocess
import sys

import pytest

from deployments.local.ports import holder, is_free, refuse_taken
from tasks.contracts.errors import ConfigError


@pytest.fixture
def taken():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(taken):
    assert not is_free(taken)


def test_a_port_is_free_again_when_its_holder_is_gone():
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            connection, _ = listener.accept()
            connection.close()
            client.recv(1)
    assert is_free(port)


def test_names_the_process_that_holds_a_port(taken):
    assert holder(taken).startswith(f"pid {os.getpid()} (")


def test_names_the_command_of_another_process():
    code = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        port = int(process.stdout.readline())
        with pytest.raises(ConfigError) as caught:
            refuse_taken({"INGOT_S3_PORT (filer) gRPC": port})
        process.kill()
    assert str(caught.value).startswith(f"INGOT_S3_PORT (filer) gRPC is {port}, but must be free: pid {process.pid} (")
    assert "socket.create_server" in str(caught.value)
    assert str(caught.value).endswith("stop it, or set INGOT_S3_PORT to another port")
