"""The embedded target as a real process, for any test that needs a server: `with running_target() as target:`.

Independent of perfcore's own client: the standard library talks to it. However the test ends, the process ends:
at the end of the block, or with the test process (the target watches its parent).
"""

import contextlib
import http.client
import json
import os
import select
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent
TIMEOUT_S = 20.0


@dataclass
class TargetProcess:
    process: "subprocess.Popen[bytes]"
    url: str
    """Without a slash at the end: `http://127.0.0.1:40123`."""
    ca_file: Path | None
    """The certificate to trust, with `--tls`."""

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        assert port is not None
        return port

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self) -> http.client.HTTPConnection:
        """A new connection; the caller closes it."""
        host = urlsplit(self.url).hostname or ""
        if self.ca_file is None:
            return http.client.HTTPConnection(host, self.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        return http.client.HTTPSConnection(host, self.port, timeout=TIMEOUT_S, context=context)

    def ask(self, method: str, path: str) -> Any:
        """The JSON that a request on a connection of its own is answered with."""
        with contextlib.closing(self.connect()) as connection:
            connection.request(method, path)
            return json.loads(connection.getresponse().read())

    def stats(self) -> dict[str, Any]:
        """What the target counted: requests, connections, open_connections, rejected, paths. Not this request."""
        counted: dict[str, Any] = self.ask("GET", "/stats")
        return counted

    def stats_when_closed(self, open_connections: int = 0) -> dict[str, Any]:
        """The counters once no more connections than these are open: the target hears of a close a little later."""

        def counted_if_closed() -> dict[str, Any] | None:
            counted = self.stats()
            return counted if counted["open_connections"] <= open_connections else None

        counted = wait_until(counted_if_closed, f"{open_connections} open connections", TIMEOUT_S)
        assert counted is not None
        return counted

    def wait_for_requests(self, count: int) -> None:
        """Until it has counted so many. Asked seldom: each question takes of the processor that the load needs."""
        wait_until(lambda: self.stats()["requests"] >= count, f"{count} requests", TIMEOUT_S, 0.01)

    def reset(self) -> None:
        self.ask("POST", "/stats/reset")

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)


@contextlib.contextmanager
def running_target(*arguments: str) -> Iterator[TargetProcess]:
    """A target on a free port of 127.0.0.1 with these further arguments; with `--tls` its `ca_file` is set."""
    with tempfile.TemporaryDirectory(prefix="perfcore-target-") as folder:
        ca_file = Path(folder) / "ca.pem" if "--tls" in arguments else None
        command = [sys.executable, "-m", "perfcore.target", "--port", "0", "--exit-with-parent", "--quiet"]
        if ca_file is not None:
            command += ["--ca-out", str(ca_file)]
        process = subprocess.Popen([*command, *arguments], cwd=ROOT, stdout=subprocess.PIPE)
        try:
            yield TargetProcess(process, read_url(process), ca_file)
        finally:
            process.kill()
            process.wait(TIMEOUT_S)
            if process.stdout is not None:
                process.stdout.close()


def read_url(process: "subprocess.Popen[bytes]") -> str:
    """The URL from the first line of a starting target's stdout."""
    assert process.stdout is not None
    deadline = time.monotonic() + TIMEOUT_S
    line = b""
    while not line.endswith(b"\n"):
        readable, _, _ = select.select([process.stdout], [], [], max(0.0, deadline - time.monotonic()))
        part = os.read(process.stdout.fileno(), 1024) if readable else b""
        assert part, f"the target did not say where it listens; it said {line!r}, exit code {process.poll()}"
        line += part
    assert line.startswith(b"listening on "), line
    return line.decode().removeprefix("listening on ").strip()
