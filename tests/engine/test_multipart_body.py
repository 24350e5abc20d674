"""Bodies of multipart/form-data, read by the parser of Python's email package and taken apart by hand."""

import email.parser
import email.policy
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.engine.multipart_body import choose_boundary
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.upload import HELD_BYTES, Upload
from perfcore.errors import SetupFailedError
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite


def scenario(seed: int = 1, **keys: object) -> Scenario:
    case = TestCase(name="t", endpoint="/x", method="POST", **keys)
    suite = TestSuite(name="s", base_url="http://h", variables={"A": "one"}, tests=[case])
    suite.check()
    return Scenario(suite, suite.tests[0], 0, seed)


def sent(user: int = 1, seed: int = 1, **multipart: object) -> Request:
    return scenario(seed, multipart=multipart).request_for(Exchange(user, 0, None))


def content_type(request: Request) -> str:
    (line,) = [line for line in request.headers if line.startswith("Content-Type: ")]
    return line.partition(": ")[2]


def boundary(request: Request) -> bytes:
    start, _, value = content_type(request).partition("boundary=")
    assert start == "multipart/form-data; "
    return value.encode()


def whole(body: bytes | Upload | None) -> bytes:
    """A body read as a transport reads it, a few bytes at a time."""
    assert body is not None
    if isinstance(body, bytes):
        return body
    chunks, offset = [], 0
    while chunk := body.read_at(offset, 1_000_003):
        chunks.append(chunk)
        offset += len(chunk)
    assert offset == len(body)
    return b"".join(chunks)


def parsed(request: Request) -> list[tuple[str | None, str | None, str, bytes]]:
    """Name, file name, type and content of each part, by Python's email parser."""
    head = f"MIME-Version: 1.0\r\nContent-Type: {content_type(request)}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + whole(request.body))
    assert not message.defects
    parts = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        assert part.get_content_disposition() == "form-data"
        name = part.get_param("name", header="content-disposition")
        parts.append((name, part.get_filename(), part.get_content_type(), part.get_payload(decode=True)))
    return parts


def test_texts_and_files_are_the_parts_of_the_body(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'{"a": 1}\n')
    (tmp_path / "b.unheard-of").write_bytes(bytes(range(128)))
    request = sent(
        fields={"title": "${A}", "tag": ["x", "y"], "empty": ""},
        files={"doc": str(tmp_path / "a.json"), "more": [str(tmp_path / "b.unheard-of")]},
    )
    assert parsed(request) == [
        ("title", None, "text/plain", b"one"),
        ("tag", None, "text/plain", b"x"),
        ("tag", None, "text/plain", b"y"),
        ("empty", None, "text/plain", b""),
        ("doc", "a.json", "application/json", b'{"a": 1}\n'),
        ("more", "b.unheard-of", "application/octet-stream", bytes(range(128))),
    ]


def by_hand(request: Request) -> list[tuple[bytes, bytes]]:
    """Head and content of each part, taken apart as RFC 7578 says."""
    mark = b"--" + boundary(request)
    start, *parts, end = (b"\r\n" + whole(request.body)).split(b"\r\n" + mark)
    assert (start, end) == (b"", b"--\r\n")
    heads_and_contents = []
    for part in parts:
        head, separator, content = part.partition(b"\r\n\r\n")
        assert separator
        heads_and_contents.append((head.removeprefix(b"\r\n"), content))
    return heads_and_contents


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=9), st.text().map(lambda text: text.replace("$", "$$")), min_size=1))
def test_any_text_arrives_as_it_was(fields: dict[str, str]) -> None:
    parts = by_hand(sent(fields=fields))
    assert [content.decode() for _, content in parts] == [text.replace("$$", "$") for text in fields.values()]
    # The escapes are those of browsers: nothing else is escaped, a percent sign neither.
    names = [name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A") for name in fields]
    assert [head.decode() for head, _ in parts] == [
        f'Content-Disposition: form-data; name="{name}"' for name in names
    ]


def test_a_name_cannot_end_its_quotes_or_its_line(tmp_path: Path) -> None:
    path = tmp_path / 'a"b\r\nX-Evil: 1.txt'
    path.write_bytes(b"x")
    ((head, content),) = by_hand(sent(files={'n"\r\n': str(path)}))
    assert content == b"x"
    assert head.split(b"\r\n") == [
        b'Content-Disposition: form-data; name="n%22%0D%0A"; filename="a%22b%0D%0AX-Evil: 1.txt"',
        b"Content-Type: text/plain",
    ]


def test_the_boundary_repeats_with_the_seed_and_is_in_no_text() -> None:
    first = boundary(sent(fields={"a": "b"}))
    assert first == boundary(sent(fields={"c": "d"}))
    assert first != boundary(sent(seed=2, fields={"a": "b"}))
    # The one that the seed gives is in a text, in a name, in a file: another one is taken.
    assert boundary(sent(fields={"a": f"--{first.decode()}"})) != first
    assert boundary(sent(fields={first.decode(): "b"})) != first
    assert boundary(sent(fields={"a": f"{first.decode()}${{user()}}"})) != first


def test_the_boundary_is_not_in_a_file(tmp_path: Path) -> None:
    first = boundary(sent(fields={"a": "b"}))
    (tmp_path / "f").write_bytes(b"\r\n--" + first + b"--\r\n")
    request = sent(files={"f": str(tmp_path / "f")})
    assert boundary(request) != first
    assert [content for _, content in by_hand(request)] == [(tmp_path / "f").read_bytes()]


def test_a_boundary_is_drawn_until_it_occurs_nowhere() -> None:
    drawn = [f"perfcore-{random.Random(5).getrandbits(128):032x}"]
    source = random.Random(5)
    source.getrandbits(128)
    drawn.append(f"perfcore-{source.getrandbits(128):032x}")
    assert choose_boundary(random.Random(5), [b""]) == drawn[0]
    assert choose_boundary(random.Random(5), [b"x" + drawn[0].encode()]) == drawn[1]
    assert len(drawn[0]) <= 70  # RFC 2046, section 5.1.1


def test_a_field_that_depends_on_the_request_is_rendered_for_each() -> None:
    made = scenario(multipart={"fields": {"user": "${user()}"}, "files": {"f": __file__}})
    assert made.constant is None
    one, two = (made.request_for(Exchange(user, 0, None)) for user in (1, 2))
    assert (parsed(one)[0][3], parsed(two)[0][3]) == (b"1", b"2")
    assert parsed(one)[1][3] == Path(__file__).read_bytes().replace(b"\r\n", b"\n")
    assert content_type(one) == content_type(two)


def test_without_anything_to_render_the_body_is_made_once() -> None:
    made = scenario(multipart={"fields": {"a": "${A}"}})
    assert made.constant is not None
    assert made.request_for(Exchange(1, 0, None)) is made.constant


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large.bin"
    path.write_bytes(random.Random(3).randbytes(1 << 20) * 16 + b"!")
    assert path.stat().st_size == HELD_BYTES + 1
    return path


def test_a_large_file_is_read_while_it_is_sent(large: Path) -> None:
    made = scenario(body_file=str(large))
    body = made.request_for(Exchange(1, 0, None)).body
    assert isinstance(body, Upload)
    assert made.constant is not None
    assert whole(body) == large.read_bytes()


def test_a_file_that_can_be_held_is_held(large: Path) -> None:
    with large.open("r+b") as file:
        file.truncate(HELD_BYTES)
    body = scenario(body_file=str(large)).request_for(Exchange(1, 0, None)).body
    assert isinstance(body, bytes)
    assert len(body) == HELD_BYTES


def test_files_that_are_large_together_are_read_while_they_are_sent(large: Path, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small\r\n")
    files = [str(tmp_path / "small"), str(large)]
    made = scenario(multipart={"fields": {"u": "${user()}"}, "files": {"f": files}})
    request = made.request_for(Exchange(7, 0, None))
    assert isinstance(request.body, Upload)
    contents = [content for _, content in by_hand(request)]
    assert contents == [b"7", b"small\r\n", large.read_bytes()]
    assert sum(map(len, contents)) < len(request.body) == len(whole(request.body))


def test_a_large_file_is_sent_as_it_was_when_the_suite_was_compiled(large: Path) -> None:
    made = scenario(body_file=str(large))
    before = large.read_bytes()
    large.unlink()
    large.write_bytes(b"another")
    assert whole(made.request_for(Exchange(1, 0, None)).body) == before


def test_files_are_closed_with_their_scenario(large: Path) -> None:
    def opened() -> list[str]:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.exists()]
        return [str(link) for link in links if link.resolve() == large.resolve()]

    made = scenario(body_file=str(large))
    assert len(opened()) == 1
    del made
    assert opened() == []


def test_a_file_that_went_away_after_the_check_is_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"x")
    case = TestCase(name="t", endpoint="http://h/", multipart={"files": {"f": str(path)}})
    path.unlink()
    with pytest.raises(SetupFailedError) as caught:
        Scenario(TestSuite.of(case), case, 0, 1)
    assert str(caught.value) == f"{path}: cannot be read any more: No such file or directory"
