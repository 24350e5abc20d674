"""The server of flat_server.c, compiled when it is needed: one constant answer to each read."""

import contextlib
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cores import on_cores
from bench.nginx import PATIENCE_S, free_ports, wait_for_port
from bench.process_tree import cpu_seconds

_SOURCE = Path(__file__).resolve().parent / "flat_server.c"


@dataclass
class FlatServer:
    pid: int
    port: int
    name: str = "flat server"

    def url(self, scheme: str, path: str) -> str:
        """Whatever the path. ValueError for another scheme than http."""
        if scheme != "http":
            raise ValueError("the flat server speaks HTTP/1.1 without TLS")
        return f"http://127.0.0.1:{self.port}{path}"

    def requests(self) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=PATIENCE_S) as answer:
            return int(answer.read())

    def cpu_s(self) -> float:
        return cpu_seconds([self.pid])


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


@contextlib.contextmanager
def running_flat_server(cores: frozenset[int]) -> Iterator[FlatServer]:
    """RuntimeError where there is no C compiler, or it does not start."""
    program = compiler()
    if program is None:
        raise RuntimeError(
            "the client-bound scenario needs a C compiler (Debian: apt-get install gcc libc6-dev)"
        )
    with tempfile.TemporaryDirectory(prefix="bench-flat-") as name:
        server, stderr = Path(name) / "flat_server", Path(name) / "stderr"
        subprocess.run([program, "-O2", "-o", str(server), str(_SOURCE)], check=True, timeout=60)
        (port,) = free_ports(1)
        with on_cores(cores), stderr.open("wb") as err:
            process = subprocess.Popen([str(server), str(port)], stderr=err)
        try:
            wait_for_port(port, process, stderr)
            yield FlatServer(process.pid, port)
        finally:
            process.kill()
            process.wait(PATIENCE_S)
