"""`--unix PATH`: a socket file in place of a port, which comes and goes with the target."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from target_process import ROOT, TIMEOUT_S, TargetProcess, read_url, running_target

COMMAND = [sys.executable, "-m", "perfcore.target", "--quiet"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_S)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT_S)
        self.sock.connect(str(self.path))


def ask(path: Path, target: str, method: str = "GET") -> object:
    with closing(UnixConnection(path)) as connection:
        connection.request(method, target)
        return json.loads(connection.getresponse().read())


@contextmanager
def started(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen([*COMMAND, "--unix", str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert read_url(process) == f"unix:{path}"
        yield process
    finally:
        process.kill()
        process.communicate()


def refused(path: Path) -> str:
    """The one line that a target says that does not start."""
    ended = subprocess.run(
        [*COMMAND, "--unix", str(path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (2, "", 1)
    return ended.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_on_the_socket_and_removes_it_at_the_end(tmp_path: Path, number: signal.Signals) -> None:
    path = tmp_path / "target.sock"
    with started(path) as process:
        assert ask(path, "/health") == {"status": "ok"}
        with closing(UnixConnection(path)) as connection:
            connection.request("PUT", "/upload", b"x" * 3_000_000)
            assert json.loads(connection.getresponse().read())["bytes"] == 3_000_000
            connection.request("GET", "/bytes/3M")
            assert len(connection.getresponse().read()) == 3_000_000
        with pytest.raises(http.client.RemoteDisconnected):
            ask(path, "/reset")
        counted = ask(path, "/stats")
        assert isinstance(counted, dict)
        assert counted["paths"] == {"/health": 1, "/upload": 1, "/bytes/3M": 1, "/reset": 1}
        process.send_signal(number)
        assert process.wait(TIMEOUT_S) == 0
    assert list(tmp_path.iterdir()) == []


def test_a_socket_that_a_killed_target_left_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "target.sock"
    with started(path) as process:
        process.kill()
        process.wait(TIMEOUT_S)
        assert path.is_socket()
    with started(path):
        assert ask(path, "/health") == {"status": "ok"}


def test_a_socket_on_which_somebody_listens_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "target.sock"
    with started(path):
        assert "somebody listens there" in refused(path)
        assert ask(path, "/health") == {"status": "ok"}
    path.unlink()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as busy:
        busy.bind(str(path))
        busy.listen(0)
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as waiting:
            # It fills the queue of connections that nobody accepts.
            waiting.connect(str(path))
            assert "somebody listens there" in refused(path)
    assert path.is_socket()


def test_what_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    file, link, gone = tmp_path / "file", tmp_path / "link", tmp_path / "gone" / "target.sock"
    file.write_text("kept")
    link.symlink_to(tmp_path / "nowhere")
    for path in (file, link, tmp_path):
        assert "no socket" in refused(path)
    assert (file.read_text(), link.is_symlink()) == ("kept", True)
    assert "No such file" in refused(gone)
    assert "too long" in refused(tmp_path / ("x" * 200))


def test_the_socket_of_another_that_took_its_place_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "target.sock"
    with started(path) as first:
        path.unlink()
        with started(path):
            first.terminate()
            assert first.wait(TIMEOUT_S) == 0
            assert ask(path, "/health") == {"status": "ok"}


def test_a_reader_that_is_gone_leaves_no_socket(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [*COMMAND, "--unix", str(tmp_path / "target.sock")]
    ended = subprocess.run(command, cwd=ROOT, stdout=write_end, timeout=TIMEOUT_S, check=False)
    os.close(write_end)
    assert ended.returncode == 107
    assert list(tmp_path.iterdir()) == []


def test_tls_works_on_a_unix_socket_too(tmp_path: Path) -> None:
    path = tmp_path / "target.sock"
    with running_target("--tls", "--unix", str(path)) as target:
        assert isinstance(target, TargetProcess)
        context = ssl.create_default_context(cafile=str(target.ca_file))
        connection = UnixConnection(path)
        connection.connect()
        connection.sock = context.wrap_socket(connection.sock, server_hostname="localhost")
        connection.request("GET", "/redirect/1?absolute=1")
        assert connection.getresponse().getheader("Location") == "https://localhost/redirect/0?absolute=1"
        connection.close()
