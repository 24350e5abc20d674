"""nginx as a process that counts for itself: `with running_nginx(folder, servers) as nginx:`.

`servers` are its server blocks, with `{port}`, `{folder}` and `{tls}` (certificate and key for 127.0.0.1) filled in.
For tests marked `debian("nginx")`.
"""

import contextlib
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from waiting import WAIT_S, wait_until

_CONFIG = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  log_format counted '$request_method $request_uri $server_protocol $status $ssl_client_s_dn';
  access_log {folder}/access.log counted;
  {temporary}
  {servers}
}}
"""


@dataclass
class Nginx:
    port: int
    folder: Path

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def log(self) -> list[list[str]]:
        """The words of each line: method, target, protocol, status, client's certificate."""
        text = (self.folder / "access.log").read_text()
        return [line.split(" ", 4) for line in text.splitlines() if "/ready" not in line]

    def wait_for_log(self, lines: int) -> list[list[str]]:
        """The log once it has so many lines: nginx writes one after it has answered."""
        wait_until(lambda: len(self.log()) >= lines, f"{lines} lines in nginx's log")
        return self.log()


@contextlib.contextmanager
def running_nginx(folder: Path, servers: str) -> Iterator[Nginx]:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    assert program is not None
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tls = f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem;"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    blocks = servers.replace("{port}", str(port)).replace("{folder}", str(folder)).replace("{tls}", tls)
    config = folder / "nginx.conf"
    config.write_text(_CONFIG.format(folder=folder, temporary=temporary, servers=blocks))
    with subprocess.Popen(
        [program, "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_until(lambda: _listens(port, process), "nginx listens")
            yield Nginx(port, folder)
        finally:
            process.terminate()
            process.wait(WAIT_S)


def _listens(port: int, process: "subprocess.Popen[bytes]") -> bool:
    assert process.poll() is None, "nginx did not start"
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
