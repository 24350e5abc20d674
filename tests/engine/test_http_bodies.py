"""Bodies that are uploaded from files, and bodies that come compressed.

The servers are raw sockets, so what they saw is known byte for byte.
"""

import gzip
from pathlib import Path

import pytest

from engine.digest_site import digest_site
from engine.http_harness import both_engines, request, send, settings, transfers_only, user
from engine.http_site import answer, outcome, site
from perfcore.engine.transport import Request
from perfcore.engine.upload import HELD_BYTES, HeldPiece, Upload, open_piece

pytestmark = both_engines


@transfers_only("authentication in rounds and signatures are libcurl's")
def test_a_large_upload_arrives_whole_and_twice_where_it_is_sent_again(tmp_path: Path) -> None:
    path = tmp_path / "large"
    content = bytes(range(256)) * 4096 * 17
    assert len(content) > HELD_BYTES
    path.write_bytes(content)
    whole = b"<head>" + content + b"<tail>"
    upload = Upload([HeldPiece(b"<head>"), open_piece(path), HeldPiece(b"<tail>")])
    with site(a=answer(307, Location="/b"), d=digest_site([])) as (served, server, client):
        exchange = user()
        sent = Request(settings("PUT", follow_redirects=True), f"{server.url}/a", [], upload)
        assert outcome(send(client, exchange, sent)) == ("", 200)
        assert [got.partition(b"\r\n\r\n")[2] == whole for got in served.seen] == [True, True]
        assert exchange.sent_bytes == sum(map(len, served.seen))
        sent = Request(settings("POST", auth_scheme="digest"), f"{server.url}/d", [], upload, ("u", "p"))
        exchange = user(2)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert served.seen[-1].partition(b"\r\n\r\n")[2] == whole
        assert served.headers("Expect") == [[]] * len(served.seen)


def test_a_file_that_became_shorter_fails_the_request_and_not_the_worker(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * 1000)
    upload = Upload([open_piece(path)])
    path.write_bytes(b"x" * 10)
    with site() as (_, server, client):
        exchange = send(client, user(), Request(settings("POST"), server.url, [], upload))
        assert exchange.error
        assert outcome(send(client, exchange, request(server.url))) == ("", 200)


@transfers_only("no client is used")
@pytest.mark.parametrize("offset", [0, 1, 5, 6, 7, 14, 15])
def test_an_upload_is_read_from_anywhere(tmp_path: Path, offset: int) -> None:
    path = tmp_path / "piece"
    path.write_bytes(b"FILEFILE")
    upload = Upload([HeldPiece(b"<head>"), HeldPiece(b""), open_piece(path), HeldPiece(b">")])
    whole = b"<head>FILEFILE>"
    assert len(upload) == len(whole)
    read = b""
    while part := upload.read_at(offset + len(read), 3):
        read += part
    assert read == whole[offset:]


@transfers_only("all codings are undone by libcurl transfers")
def test_a_compressed_answer_is_decoded_and_counted_as_it_came() -> None:
    plain = b"perfcore " * 1000
    packed = gzip.compress(plain)
    with site(a=answer(200, packed, Content_Encoding="gzip")) as (served, server, client):
        exchange, sent = user(), request(f"{server.url}/a", compressed=True, keep_body=True)
        for _ in range(2):
            assert outcome(send(client, exchange, sent)) == ("", 200)
            assert exchange.body == plain
            assert exchange.received_bytes == len(served.routes["/a"])  # type: ignore[arg-type]
        assert "gzip" in served.headers("Accept-Encoding")[0][0]
        exchange = send(client, user(), request(f"{server.url}/a", keep_body=True))
        assert exchange.body == packed
        assert served.headers("Accept-Encoding")[-1] == []


@transfers_only("what nobody looks at is not decoded on the wire")
def test_broken_compression_is_a_bad_response() -> None:
    broken = answer(200, b"this is no gzip at all", Content_Encoding="gzip")
    with site(a=broken) as (_, server, client):
        exchange = send(client, user(), request(f"{server.url}/a", compressed=True))
        assert outcome(exchange) == ("bad_response", 0)
