"""Against a server of somebody else's: nginx counts for itself."""

import re
import shutil
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from integration.runs import assert_numbers_add_up, one_test, run, wait_until

CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {folder}/access.log combined buffer=64k flush=100ms;
  keepalive_requests 100;
  {temporary}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{ default_type application/json; return 200 '{{"id":1,"name":"Ada","ok":true}}'; }}
  }}
}}
"""


@pytest.fixture
def nginx(tmp_path):
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path / "nginx"
    folder.mkdir()
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, temporary=temporary))
    with subprocess.Popen(
        [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(url), "nginx answers")
            yield url, folder / "access.log"
        finally:
            process.terminate()
            process.wait(20)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def logged(access_log: Path) -> int:
    return len(re.findall(r'"GET /run', access_log.read_text()))


@pytest.mark.debian("nginx")
def test_attempts_equal_the_lines_in_nginxs_log_though_it_closes_connections(tmp_path, nginx):
    url, access_log = nginx
    suite = one_test(url, endpoint="/run", parallel_users=20, iterations=400)
    done = run(tmp_path, suite, "--procs", "2")
    test = done.test("test")
    assert test["successful_requests"] == 8000
    wait_until(lambda: logged(access_log) >= test["attempts"], "the log is written")
    assert logged(access_log) == test["attempts"]
    assert test["connections_opened"] == 20 * 4  # keepalive_requests 100
    assert_numbers_add_up(test)
