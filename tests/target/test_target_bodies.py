"""/gzip, /deflate, /upload, /multipart: what the standard library packs and unpacks is the oracle."""

import contextlib
import gzip
import hashlib
import json
import zlib
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.policy import HTTP

import pytest
from raw_client import RawClient, RawResponse
from target_process import TargetProcess

UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}
CHUNK = 250_000


@pytest.fixture
def client(target: TargetProcess) -> Iterator[RawClient]:
    with RawClient(target.port) as client:
        yield client


def ask(client: RawClient, target: str, *headers: str, body: bytes = b"", method: str = "GET") -> RawResponse:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", *headers]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    client.send("\r\n".join([*lines, "", ""]).encode() + body)
    return client.response()


@pytest.mark.parametrize("size", [1000, 16_384, 16_385, 1_000_003])
@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_is_the_same_compressed_and_plain(client: RawClient, coding: str, size: int) -> None:
    for _ in range(2):
        plain = ask(client, f"/{coding}?size={size}")
        packed = ask(client, f"/{coding}?size={size}", f"Accept-Encoding: br, {coding};q=0.5")
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == coding
        assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
        assert len(plain.body) == size
        assert len(packed.body) < size / 4
        assert UNPACK[coding](packed.body) == plain.body
        assert json.loads(plain.body)["route"] == f"/{coding}"


@pytest.mark.parametrize(
    ("accepted", "is_packed"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("*", True),
        ("br, gzip ; q=0.001", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("deflate", False),
        ("gzipped", False),
        ("identity", False),
        ("", False),
    ],
)
def test_a_body_is_compressed_only_for_who_accepts_it(
    client: RawClient, accepted: str, is_packed: bool
) -> None:
    response = ask(client, "/gzip", f"Accept-Encoding: {accepted}")
    assert ("content-encoding" in response.headers) is is_packed


def test_broken_gzip_is_said_to_be_gzip_and_is_none(client: RawClient) -> None:
    response = ask(client, "/gzip?broken=1", "Accept-Encoding: gzip")
    assert response.headers["content-encoding"] == "gzip"
    with pytest.raises(gzip.BadGzipFile):
        gzip.decompress(response.body)
    assert client.ask("/health").status == 200


def test_http_1_0_gets_a_large_compressed_body_without_chunks(client: RawClient) -> None:
    client.send(b"GET /gzip?size=50000 HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n")
    assert "transfer-encoding" not in client.head().headers
    assert len(gzip.decompress(client.rest())) == 50_000


@pytest.mark.parametrize("query", ["size=3", "size=x", "broken=yes"])
def test_wrong_questions_for_compressed_bodies_are_refused(client: RawClient, query: str) -> None:
    assert client.ask(f"/gzip?{query}").status == 400


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_an_upload_is_counted_and_hashed(client: RawClient, method: str) -> None:
    for body in (b"", b"abc", b"x" * 5_000, bytes(range(256)) * 50_000):
        for _ in range(2):
            answer = json.loads(ask(client, "/upload", body=body, method=method).body)
            assert answer == {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert client.ask("/upload").status == 405


@pytest.mark.parametrize("offer", [(), ("Connection: Upgrade", "Upgrade: h2c")])
def test_a_chunked_upload_is_hashed_as_it_was_before_chunking(
    client: RawClient, offer: tuple[str, ...]
) -> None:
    client.send(
        "\r\n".join(["POST /upload HTTP/1.1", "Transfer-Encoding: chunked", *offer, "", ""]).encode()
        + b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    assert json.loads(client.response().body) == {
        "bytes": 5,
        "sha256": hashlib.sha256(b"abcde").hexdigest(),
    }


def test_an_upload_larger_than_any_kept_body_is_taken(target: TargetProcess) -> None:
    with contextlib.closing(target.connect()) as connection:
        blocks = [bytes([number]) * CHUNK for number in range(80)]
        connection.request("PUT", "/upload", iter(blocks), encode_chunked=True)
        answer = json.loads(connection.getresponse().read())
    assert answer == {"bytes": 80 * CHUNK, "sha256": hashlib.sha256(b"".join(blocks)).hexdigest()}
    assert target.stats()["paths"] == {"/upload": 1}


def written_by_email_package() -> tuple[str, bytes]:
    """A form with two fields of one name and a file, in the words of the standard library."""
    form = EmailMessage(policy=HTTP)
    form["Content-Type"] = "multipart/form-data"
    for name, content in (("word", "one"), ("word", "two"), ("empty", "")):
        part = EmailMessage(policy=HTTP)
        part["Content-Disposition"] = f'form-data; name="{name}"'
        part.set_payload(content)
        form.attach(part)
    part = EmailMessage(policy=HTTP)
    part["Content-Disposition"] = 'form-data; name="upload"; filename="a b.txt"'
    part["Content-Type"] = "text/csv"
    part.set_payload("1,2\r\n3,4\r\n")
    form.attach(part)
    form.set_boundary("=_boundary_17")
    head, _, body = form.as_bytes().partition(b"\r\n\r\n")
    return head.decode().replace("\r\n", ""), body


def test_a_form_written_by_the_standard_library_is_read(client: RawClient) -> None:
    header, body = written_by_email_package()
    response = ask(client, "/multipart", header, body=body, method="POST")
    assert json.loads(response.body) == {
        "fields": {"word": ["one", "two"], "empty": ""},
        "files": {
            "upload": {
                "filename": "a b.txt",
                "content_type": "text/csv",
                "bytes": 10,
                "sha256": hashlib.sha256(b"1,2\r\n3,4\r\n").hexdigest(),
            }
        },
    }


def test_a_file_of_any_bytes_and_a_name_of_any_characters_are_read(client: RawClient) -> None:
    content = bytes(range(256)) * 4_000 + b"\r\n--\r\n--other"
    disposition = 'form-data; name="gr\\"öße"; filename="100%22.bin"'
    body = f"--b\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
    ((name, seen),) = json.loads(
        ask(
            client, "/multipart", "Content-Type: multipart/form-data; boundary=b", body=body, method="PUT"
        ).body
    )["files"].items()
    assert name == 'gr"öße'
    assert (seen["filename"], seen["content_type"]) == ('100".bin', None)
    assert (seen["bytes"], seen["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())


FIELD = b'Content-Disposition: form-data; name="a"'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"--b",
        b"--b\r\n" + FIELD + b"\r\n\r\nx",
        b"--b\r\n" + FIELD + b"\r\n\r\nx\r\n--b",
        b"before\r\n--b\r\n" + FIELD + b"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\n" + FIELD + b"\r\n\r\nx\r\n--b--\r\nafter",
        b"--b\r\n" + FIELD + b"\r\nx\r\n--b--\r\n",
        b"--bc\r\n" + FIELD + b"\r\n\r\nx\r\n--b--\r\n",
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b'--b\r\nContent-Disposition: attachment; name="a"\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="a\r\n\r\nx\r\n--b--\r\n',
        b'--b\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--b--\r\n',
        b"--b\r\n" + FIELD + b"\r\nno header\r\n\r\nx\r\n--b--\r\n",
        (b"--b\r\n" + FIELD + b"\r\n\r\nx\r\n") * 1_001 + b"--b--\r\n",
    ],
)
def test_a_malformed_form_is_refused(client: RawClient, body: bytes) -> None:
    header = "Content-Type: multipart/form-data; boundary=b"
    assert ask(client, "/multipart", header, body=body, method="POST").status == 400


@pytest.mark.parametrize("kind", ["", "multipart/form-data", "multipart/mixed; boundary=b", "text/plain"])
def test_a_body_that_is_no_form_is_refused(client: RawClient, kind: str) -> None:
    body = b"--b\r\n" + FIELD + b"\r\n\r\nx\r\n--b--\r\n"
    assert ask(client, "/multipart", f"Content-Type: {kind}", body=body, method="POST").status == 400
    good = ask(
        client, "/multipart", 'Content-Type: Multipart/Form-Data; boundary="b"', body=body, method="POST"
    )
    assert json.loads(good.body)["fields"] == {"a": "x"}


def test_a_form_larger_than_ten_mebibytes_is_refused(client: RawClient) -> None:
    client.send(b"POST /multipart HTTP/1.1\r\nContent-Length: 10485761\r\n\r\n")
    assert client.response().status == 413
