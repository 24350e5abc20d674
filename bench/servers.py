"""The server that a bench loads: nginx where it is installed, else the embedded target.

With the embedded target the server may bound every tool, and the scenarios that need more than it offers are told as
not measured; CPU of a request and ratios still mean what they say.
"""

import contextlib
import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from typing import Protocol

from bench.cores import on_cores
from bench.nginx import PATIENCE_S, nginx_program, running_nginx
from bench.process_tree import cpu_seconds
from perfcore.engine.truth_target import take_held

# What answers in the place of nginx's locations.
_ROUTES = {"/plain": "/health", "/chunked": "/chunked/100", "/10k": "/bytes/10240", "/post": "/upload"}


class Server(Protocol):
    """What a bench asks of a server."""

    name: str

    def url(self, scheme: str, path: str) -> str:
        """Where `path` of nginx's locations is. RuntimeError where this server has no such thing."""

    def requests(self) -> int:
        """All that it was sent, this question not among them."""

    def cpu_s(self) -> float:
        """CPU seconds that it has spent."""


class EmbeddedServer:
    """The target that perfcore brings with it."""

    name = "embedded target"

    def __init__(self, url: str, pid: int) -> None:
        self._url = url
        self._pid = pid

    def url(self, scheme: str, path: str) -> str:
        if scheme != "http" or path not in _ROUTES:
            raise RuntimeError(f"{scheme} {path} needs nginx (Debian: apt-get install nginx-light)")
        return self._url + _ROUTES[path]

    def route(self, path: str) -> str:
        """The URL of one of its own routes."""
        return self._url + path

    def take_held(self) -> dict[str, int | None]:
        """What /truth/held tells since the last time."""
        return take_held(self._url)

    def requests(self) -> int:
        with urllib.request.urlopen(f"{self._url}/stats", timeout=PATIENCE_S) as answer:
            return int(json.load(answer)["requests"])

    def cpu_s(self) -> float:
        return cpu_seconds([self._pid])


@contextlib.contextmanager
def running_server(cores: frozenset[int], workers: int = 1) -> Iterator[Server]:
    """The best that is installed. RuntimeError where it does not start."""
    if nginx_program() is not None:
        with running_nginx(cores, workers) as nginx:
            yield nginx
        return
    with running_embedded(cores) as target:
        yield target


@contextlib.contextmanager
def running_embedded(cores: frozenset[int]) -> Iterator[EmbeddedServer]:
    command = [sys.executable, "-m", "perfcore.target", "--port", "0", "--exit-with-parent", "--quiet"]
    with on_cores(cores):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        said = process.stdout.readline().strip()
        if not said.startswith("listening on "):
            raise RuntimeError(f"the embedded target did not start: {said}")
        yield EmbeddedServer(said.removeprefix("listening on "), process.pid)
    finally:
        process.kill()
        process.communicate()
