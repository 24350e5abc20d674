"""httpbin (PyPI) as a process that counts for itself: `with running_httpbin() as httpbin:`.

gunicorn serves it, which keeps connections and reads HTTP with a parser of its own. Run as a program this file is
the server, on the listening socket whose descriptor it is given. It ends with the test's process, however that ends.
"""

import contextlib
import ctypes
import http.client
import json
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

WAIT_S = 20.0
THREADS = 8
_KEPT_S = 60
_COUNTED = "/counted"
_PR_SET_PDEATHSIG = 1
# What Flask answers by itself wherever there is a GET.
_METHODS_OF_ITS_OWN = frozenset({"HEAD", "OPTIONS"})


@dataclass
class Httpbin:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def counted(self) -> dict[str, int]:
        """How often each kind of request came, such as `GET /status/<codes>`; `unknown` for what has no route."""
        counts: dict[str, int] = self._told()["counts"]
        return counts

    def kinds(self) -> set[str]:
        """Every kind of request that httpbin has, spelled as `counted` does."""
        return set(self._told()["kinds"])

    def _told(self) -> dict[str, Any]:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT_S)) as asked:
            asked.request("GET", _COUNTED, headers={"Connection": "close"})
            told: dict[str, Any] = json.loads(asked.getresponse().read())
            return told


@contextlib.contextmanager
def running_httpbin() -> Iterator[Httpbin]:
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        port: int = listener.getsockname()[1]
        command = [sys.executable, __file__, str(listener.fileno())]
        process = subprocess.Popen(command, pass_fds=[listener.fileno()], stdout=subprocess.DEVNULL)
    try:
        httpbin = Httpbin(port)
        httpbin.counted()  # the socket listens already, so this waits until somebody answers
        yield httpbin
    finally:
        process.send_signal(signal.SIGQUIT)  # gunicorn's order to end at once
        try:
            process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(WAIT_S)
            raise


def _counting() -> Callable[..., Any]:
    """httpbin as a WSGI application that tells what was asked of it."""
    from flask import request
    from httpbin import app

    counts: Counter[str] = Counter()

    def count() -> None:
        rule = request.url_rule
        counts[f"{request.method} {rule.rule}" if rule is not None else "unknown"] += 1

    # Before httpbin's own, which may refuse the request.
    app.before_request_funcs.setdefault(None, []).insert(0, count)
    kinds = [
        f"{method} {rule.rule}"
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - _METHODS_OF_ITS_OWN
    ]

    def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if environ["PATH_INFO"] != _COUNTED:
            return app(environ, start_response)
        body = json.dumps({"counts": counts, "kinds": kinds}).encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return application


def _serve(descriptor: str) -> None:
    from gunicorn.app.base import BaseApplication

    class Server(BaseApplication):
        def load_config(self) -> None:
            settings = {
                "bind": f"fd://{descriptor}",
                "worker_class": "gthread",
                "threads": THREADS,
                "keepalive": _KEPT_S,
                "loglevel": "error",
                "control_socket_disable": True,
            }
            for name, value in settings.items():
                if name in self.cfg.settings:  # the control socket came with gunicorn 25
                    self.cfg.set(name, value)

        def load(self) -> Callable[..., Any]:
            return _counting()

    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT, 0, 0, 0)
    Server().run()


if __name__ == "__main__":
    _serve(sys.argv[1])
