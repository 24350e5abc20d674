"""nginx as the server that a bench loads: one worker, no log, connections that are never closed by it.

Its own counter (stub_status) judges how many requests there were. It counts over all server blocks, so the request
that reads it counts as well; `requests` takes those away again.
"""

import contextlib
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from bench.cores import on_cores
from bench.process_tree import cpu_seconds

PATIENCE_S = 20.0
# Linux grants no more by default (net.core.somaxconn).
BACKLOG = 4096
# Where the program lies is not in every user's PATH.
_SEARCHED = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"

_CONFIG = """
daemon off; worker_processes {workers}; worker_rlimit_nofile 65536; pcre_jit on;
pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 32768; }}
http {{
  access_log off; server_tokens off; tcp_nodelay on; sendfile on; tcp_nopush on;
  keepalive_requests 2000000000; keepalive_timeout 1h; client_header_buffer_size 8k;
  open_file_cache max=16; default_type text/plain;
  log_format times '$msec $request_time';
  {temporary}
{lengths}
  server {{
    listen 127.0.0.1:{plain} backlog={backlog};
    listen 127.0.0.1:{tls} ssl backlog={backlog};
    listen 127.0.0.1:{h2c} http2 backlog={backlog};
    ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;
    location = /plain {{ return 200 "thirty-one bytes of an answer.\\n"; }}
    location = /post {{ return 200 "thirty-one bytes of an answer.\\n"; }}
    location = /varied {{
      default_type application/json;
      add_header X-Request-Id $short_id; add_header Set-Cookie "session=$short_id; Path=/; HttpOnly";
      return 200 '{{"id": "$short_id", "note": "$note"}}';
    }}
    location = /chunked {{
      sub_filter_types *; sub_filter "@id@" $request_id;
      return 200 "An answer whose length nobody knows before it is made: @id@, and so it comes in chunks.\\n";
    }}
    location = /json {{
      default_type application/json;
      return 200 '{{"ok": true, "request": "$request_id", "items": [{{"price": 12.5, "name": "first"}}, \
{{"price": 7, "name": "second"}}, {{"price": 3.25, "name": "third"}}], "user": {{"id": 7, "name": "User Seven"}}}}';
    }}
    location = /10k {{ alias {folder}/10k; }}
    location = /timed {{ access_log {folder}/times.log times; return 200 "thirty-one bytes of an answer.\\n"; }}
  }}
  server {{
    listen 127.0.0.1:{status};
    location = /status {{ stub_status; }}
  }}
}}
"""


@dataclass
class Nginx:
    """A running nginx; ports on 127.0.0.1."""

    folder: Path
    pid: int
    plain: int
    tls: int
    h2c: int
    status: int
    name: str = "nginx"
    _asked: int = field(default=0)

    def url(self, scheme: str, path: str) -> str:
        """`scheme`: http, https, or h2c for HTTP/2 without TLS and without upgrade."""
        port = {"http": self.plain, "https": self.tls, "h2c": self.h2c}[scheme]
        return f"{'https' if scheme == 'https' else 'http'}://127.0.0.1:{port}{path}"

    def requests(self) -> int:
        """All that it has been sent, those of this function left out."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.status}/status", timeout=PATIENCE_S) as answer:
            counted = counted_requests(answer.read().decode())
        self._asked += 1
        return counted - self._asked

    def cpu_s(self) -> float:
        return cpu_seconds([child.pid for child in psutil.Process(self.pid).children()])

    def times(self) -> list[tuple[float, float]]:
        """Start and end of each request to /timed, seconds since 1970, in the order of their ends.

        nginx's clock has milliseconds, read once for the events of a pass.
        """
        lines = (line.split() for line in (self.folder / "times.log").read_text().splitlines())
        return [(float(end) - float(took), float(end)) for end, took in lines]

    def forget_times(self) -> None:
        with (self.folder / "times.log").open("w"):
            pass


def counted_requests(status_page: str) -> int:
    """The third figure of stub_status: accepts, handled, requests. ValueError where there is none."""
    found = re.search(r"^\s*(\d+) (\d+) (\d+)\s*$", status_page, re.MULTILINE)
    if found is None:
        raise ValueError(f"this is no stub_status page: {status_page!r}")
    return int(found[3])


def nginx_program() -> str | None:
    return shutil.which("nginx") or shutil.which("nginx", path=_SEARCHED)


@contextlib.contextmanager
def running_nginx(cores: frozenset[int], workers: int = 1) -> Iterator[Nginx]:
    """RuntimeError where it does not start."""
    program = nginx_program()
    if program is None:
        raise RuntimeError("nginx is not installed (Debian: apt-get install nginx-light)")
    with tempfile.TemporaryDirectory(prefix="bench-nginx-") as name:
        folder = Path(name)
        # The workers give up root's rights, and have to read files here.
        folder.chmod(0o755)
        plain, tls, h2c, status = free_ports(4)
        _write_files(folder)
        config = _config(folder, workers, plain=plain, tls=tls, h2c=h2c, status=status)
        (folder / "nginx.conf").write_text(config)
        command = [program, "-c", str(folder / "nginx.conf"), "-p", str(folder)]
        with on_cores(cores), (folder / "stderr").open("wb") as err:
            process = subprocess.Popen(command, stderr=err)
        try:
            wait_for_port(status, process, folder / "stderr")
            yield Nginx(folder, process.pid, plain, tls, h2c, status)
        finally:
            process.terminate()
            process.wait(PATIENCE_S)


def _config(folder: Path, workers: int, **ports: int) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    return _CONFIG.format(
        backlog=BACKLOG, folder=folder, workers=workers, temporary=temporary, lengths=_lengths(), **ports
    )


def _lengths() -> str:
    """Variables `$short_id`, 8 to 40 characters, and `$note`, 0 to 60: both follow from the request's random id."""
    identity, note = ["map $request_id $short_id {"], ["map $request_id $note {"]
    for digit in range(16):
        length = 8 + digit * 32 // 15
        # An id has 32 characters; longer ones say some of them twice.
        taken, value = (length, f"$id{digit}") if length < 32 else (length - 32, f"$request_id$id{digit}")
        identity.append(f'"~^(?={digit:x})(?<id{digit}>.{{{taken}}})" {value};')
        note.append(f'"~{digit:x}$" "{"n" * (digit * 4)}";')
    return "\n".join([*identity, "}", *note, "}"])


def _write_files(folder: Path) -> None:
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert("127.0.0.1", "localhost")
    (folder / "server.pem").write_bytes(
        server.private_key_pem.bytes() + b"".join(blob.bytes() for blob in server.cert_chain_pems)
    )
    (folder / "10k").write_bytes(b"0123456789abcdef" * 640)


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on at this moment."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_for_port(port: int, process: "subprocess.Popen[bytes]", stderr: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.01)
    raise RuntimeError(f"{process.args!r} did not start: {stderr.read_text()[-500:]}")
