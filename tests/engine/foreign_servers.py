"""Servers of somebody else's: nginx with blocks to choose from, and aioquic for HTTP/3."""

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import trustme
from nginx_process import Nginx, running_nginx

ANSWER = "location / { default_type text/plain; return 200 'hello'; }"
TLS_2 = "server { listen 127.0.0.1:{port} ssl http2; {tls} keepalive_requests 50; " + ANSWER + "}"
PLAIN_2 = "server { listen 127.0.0.1:{port} http2; " + ANSWER + "}"
TLS_1 = "server { listen 127.0.0.1:{port} ssl; {tls}" + ANSWER + "}"
CLIENTS = TLS_1.replace("{tls}", "{tls} ssl_client_certificate {folder}/ca.pem; ssl_verify_client on;")


@contextlib.contextmanager
def nginx(tmp_path: Path, servers: str) -> Iterator[Nginx]:
    folder = tmp_path / "nginx"
    folder.mkdir()
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(
        str(folder / "server.pem")
    )
    client = ca.issue_cert("perfcore@example.com", common_name="perfcore")
    client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
    client.private_key_pem.write_to_path(str(folder / "client.key"))
    with running_nginx(folder, servers) as running:
        yield running


# A server of HTTP/3 in a process of its own: it answers every request, and prints a line for each.
SERVER_3 = """
import asyncio, sys
from aioquic.asyncio import serve
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import HeadersReceived
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import ProtocolNegotiated

class Answering(QuicConnectionProtocol):
    http = None
    def quic_event_received(self, event):
        if isinstance(event, ProtocolNegotiated):
            self.http = H3Connection(self._quic)
        for got in self.http.handle_event(event) if self.http else ():
            if isinstance(got, HeadersReceived):
                print("request", flush=True)
                self.http.send_headers(got.stream_id, [(b":status", b"200"), (b"content-length", b"5")])
                self.http.send_data(got.stream_id, b"hello", end_stream=True)
                self.transmit()

async def main(port, folder):
    configuration = QuicConfiguration(is_client=False, alpn_protocols=H3_ALPN)
    configuration.load_cert_chain(folder + "/server.pem", folder + "/server.key")
    await serve("127.0.0.1", port, configuration=configuration, create_protocol=Answering)
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
"""


@dataclass
class Http3Server:
    port: int
    ca_file: Path
    _told: IO[str]

    def wait_for_requests(self, count: int) -> None:
        """Until it has told of so many more; fails where it tells of something else."""
        assert [self._told.readline() for _ in range(count)] == ["request\n"] * count


@contextlib.contextmanager
def running_http_3(folder: Path) -> Iterator[Http3Server]:
    """Skips the test where aioquic is missing."""
    pytest.importorskip("aioquic")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    issued.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    issued.private_key_pem.write_to_path(str(folder / "server.key"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-c", SERVER_3, str(port), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Http3Server(port, folder / "ca.pem", process.stdout)
        finally:
            process.kill()
