import os
import select
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from target_process import ROOT, TIMEOUT_S, TargetProcess, read_url, running_target

COMMAND = [sys.executable, "-m", "perfcore.target"]


def run(*arguments: str, code: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = COMMAND if code is None else [sys.executable, "-c", code]
    return subprocess.run(
        [*command, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_it_cleanly_even_while_requests_are_held(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--port", "0"], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        target = TargetProcess(process, read_url(process), None)
        connection = target.connect()
        connection.request("GET", "/delay/60000")
        target.wait_for_requests(1)
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert (process.returncode, out, err) == (0, b"", b"")
        connection.close()
    finally:
        process.kill()
        process.communicate()


def test_port_in_use_is_one_clear_line(target: TargetProcess) -> None:
    ended = run("--port", str(target.port))
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{target.port}" in ended.stderr
    assert "in use" in ended.stderr


@pytest.mark.parametrize(
    "arguments", [["--port", "x"], ["--port", "65536"], ["--port", "-1"], ["--host", "256.1.1.1"], ["--quie"]]
)
def test_wrong_arguments_exit_with_2(arguments: list[str]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr


def test_it_dies_with_its_parent() -> None:
    code = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen({[*COMMAND, '--port', '0', '--exit-with-parent']!r})\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        # It inherited the pipe: this line is the target's.
        assert b"listening" in parent.stdout.readline()
        pidfd = os.pidfd_open(pid)
        parent.kill()
        readable, _, _ = select.select([pidfd], [], [], TIMEOUT_S)
        os.close(pidfd)
        assert readable, "the target outlived its parent"
    finally:
        parent.kill()
        parent.communicate()


def test_it_does_not_start_for_a_reader_that_is_gone() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    ended = subprocess.run(
        [*COMMAND, "--port", "0"],
        cwd=ROOT,
        stdout=write_end,
        stderr=subprocess.PIPE,
        timeout=TIMEOUT_S,
        check=False,
    )
    os.close(write_end)
    assert (ended.returncode, ended.stderr) == (107, b"")


def test_arguments_cost_no_server() -> None:
    code = (
        "import sys; from perfcore.target.command import build_parser; build_parser();"
        "print([name for name in ('asyncio', 'httptools', 'ssl', 'trustme') if name in sys.modules])"
    )
    assert run(code=code).stdout.strip() == "[]"


def test_tls_is_trusted_with_its_ca_and_only_with_it() -> None:
    with running_target("--tls") as target:
        assert target.url.startswith("https://127.0.0.1:")
        assert target.ask("GET", "/health") == {"status": "ok"}
        for path, size in (("/bytes/3M", 3_000_000), ("/chunked/3M", 3_000_000)):
            connection = target.connect()
            connection.request("GET", path)
            assert len(connection.getresponse().read()) == size
            connection.close()
        connection = target.connect()
        connection.request("POST", "/echo", b"x" * 11_000_000)
        assert connection.getresponse().status == 413
        connection.close()
        context = ssl.create_default_context()
        with (
            socket.create_connection(("127.0.0.1", target.port), timeout=TIMEOUT_S) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            context.wrap_socket(plain, server_hostname="127.0.0.1")
        assert target.stats()["requests"] == 3


def test_tls_without_trustme_names_what_to_install() -> None:
    code = "import sys; sys.modules['trustme'] = None; from perfcore.target.command import main; sys.exit(main())"
    ended = run("--tls", "--port", "0", code=code)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert "pip install 'perfcore[tls-target]'" in ended.stderr


def test_ca_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    ended = run("--tls", "--port", "0", "--ca-out", str(tmp_path / "no" / "ca.pem"))
    assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    assert "No such file" in ended.stderr


def test_ipv6_address_is_bracketed() -> None:
    try:
        with running_target("--host", "::1") as target:
            assert target.url.startswith("http://[::1]:")
            assert target.ask("GET", "/health") == {"status": "ok"}
    except AssertionError as error:
        if "did not say" in str(error):
            pytest.skip("no IPv6 loopback here")
        raise
