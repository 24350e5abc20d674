"""Reading answers: the generator knows what it made, and Python's http.client reads the same bytes."""

import http.client
import itertools
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.answers import Answer, answers, answers_in_pieces, read_by_http_client
from engine.http_harness import (
    OK,
)
from perfcore.engine.wire_reader import HEAD_LIMIT, AnswerReader, BadAnswerError, KnownAnswer

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def feed(reader: AnswerReader, piece: bytes, *, to_head: bool = False) -> None:
    """What the wire path does with a piece of an answer that is not through yet."""
    view = memoryview(piece)
    reader.raw_bytes += len(piece)
    if not to_head:
        reader.parse(view)
    reader.follow(view)
    if to_head and reader.is_whole_head and not reader.complete:
        reader.take_head_alone()


def reading(*pieces: bytes, to_head: bool = False) -> AnswerReader:
    reader = AnswerReader()
    reader.kept_body = []
    for piece in pieces:
        feed(reader, piece, to_head=to_head)
    return reader


# -- whole answers ------------------------------------------------------------------------------------------------


@given(answers_in_pieces())
@settings(max_examples=300, deadline=None)
def test_an_answer_in_any_pieces_is_read_as_it_was_made(made: tuple[Answer, list[bytes]]) -> None:
    expected, pieces = made
    reader = reading(*pieces[:-1])
    # An answer that ends with its head is through without the last byte of nothing.
    assert not reader.complete
    feed(reader, pieces[-1])
    if expected.until_end:
        assert not reader.complete
        assert reader.ends_with_connection
        reader.take_end()
    assert reader.complete == 1
    assert (reader.status, reader.body(), reader.received_bytes) == (
        expected.status,
        expected.body,
        expected.size,
    )
    assert reader.keeps_alive == expected.goes_on
    assert not reader.is_followed(has_body=True)
    assert read_by_http_client(expected.data) == (expected.status, expected.body, 0)


@given(answers_in_pieces(to_head=True))
@settings(max_examples=150, deadline=None)
def test_an_answer_to_head_is_its_head(made: tuple[Answer, list[bytes]]) -> None:
    expected, pieces = made
    reader = reading(*pieces[:-1], to_head=True)
    assert not reader.complete
    feed(reader, pieces[-1], to_head=True)
    assert (reader.complete, reader.status, reader.received_bytes) == (1, expected.status, expected.size)
    assert not reader.is_followed(has_body=False)
    assert reader.keeps_alive or not expected.goes_on
    assert read_by_http_client(expected.data, "HEAD") == (expected.status, b"", 0)


@given(answers(can_end=False), st.data())
@settings(max_examples=150, deadline=None)
def test_an_answer_cut_anywhere_is_never_whole(expected: Answer, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(expected.data) - 1))
    reader = reading(expected.data[:place])
    assert not reader.complete
    assert not reader.ends_with_connection or not reader.is_whole_head


@given(answers(can_end=False), st.binary(min_size=1, max_size=30))
@example(Answer(OK, 200, b"ok", len(OK), True), b"\r\n")
@example(Answer(OK, 200, b"ok", len(OK), True), OK)
@example(Answer(CHUNKED + b"0\r\n\r\n", 200, b"", len(CHUNKED), True), b"0\r\n\r\n")
@example(Answer(CHUNKED + b"0\r\n\r\n", 200, b"", len(CHUNKED), True), OK[:1])
@example(Answer(CHUNKED + b"0\r\n\r\n", 200, b"", len(CHUNKED), True), b"HTTP/1.0 100\n\n")
@settings(max_examples=200, deadline=None)
def test_what_follows_an_answer_is_noticed_and_none_of_it(expected: Answer, surplus: bytes) -> None:
    for pieces in ([expected.data + surplus], [expected.data[:-1], expected.data[-1:] + surplus]):
        reader = reading(*pieces)
        assert reader.complete
        assert (reader.status, reader.body()) == (expected.status, expected.body)
        # Empty lines behind the last chunk are nothing.
        if not (reader.is_chunked and not surplus.strip(b"\r\n")):
            assert reader.is_followed(has_body=True)


@given(st.lists(answers(can_end=False), min_size=2, max_size=4))
@settings(max_examples=100, deadline=None)
def test_a_reader_holds_nothing_between_two_answers(made: list[Answer]) -> None:
    reader = AnswerReader()
    for expected in made:
        reader.begin()
        reader.kept_body = []
        feed(reader, expected.data)
        assert (reader.complete, reader.status, reader.body()) == (1, expected.status, expected.body)
        assert (reader.received_bytes, reader.is_followed(has_body=True)) == (expected.size, False)


@given(st.binary(min_size=1, max_size=200), st.booleans())
@settings(max_examples=300, deadline=None)
def test_bytes_that_begin_otherwise_are_no_answer(data: bytes, to_head: bool) -> None:
    if data.startswith(b"HTTP/"[: len(data)]):
        return
    with pytest.raises(BadAnswerError):
        reading(data, to_head=to_head)


@given(st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_whatever_comes_after_the_protocol_raises_nothing_but_a_bad_answer(data: bytes) -> None:
    for to_head in (False, True):
        with suppress(BadAnswerError):
            reading(b"HTTP/1.1 " + data, to_head=to_head)
            reading(b"HTTP/1.1 200 OK\r\n" + data, b"\r\n\r\n", to_head=to_head)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 000 X\r\n\r\n",
        b"HTTP/1.1 099 X\r\n\r\n",
        b"HTTP/1.1 101 X\r\nUpgrade: a\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 5001 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 102_500 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 62_000 + b"\r\n") * 5 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (HEAD_LIMIT + 10),
        b"\r\n" + OK,
    ],
)
@pytest.mark.parametrize("to_head", [False, True])
def test_what_libcurl_takes_for_no_answer_is_none(head: bytes, to_head: bool) -> None:
    with pytest.raises(BadAnswerError):
        reading(head, to_head=to_head)
    with pytest.raises(BadAnswerError):
        reading(*(head[at : at + 40_000] for at in range(0, len(head), 40_000)), to_head=to_head)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 4990 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 102_000 + b"\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + (b"X: " + b"y" * 60_000 + b"\r\n") * 5 + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 103 X\r\n\r\n" * 1000 + OK,
    ],
)
def test_large_heads_within_libcurls_bounds_are_read(head: bytes) -> None:
    reader = reading(*(head[at : at + 40_000] for at in range(0, len(head), 40_000)))
    assert (reader.complete, reader.received_bytes) == (1, len(head))


def test_interim_answers_count_for_the_bound_of_heads() -> None:
    interim = b"HTTP/1.1 103 X\r\nX: " + b"y" * 1000 + b"\r\n\r\n"
    with pytest.raises(BadAnswerError):
        reading(*itertools.repeat(interim, HEAD_LIMIT // 1000))


def test_headers_are_read_by_name_and_joined() -> None:
    reader = reading(
        b"HTTP/1.1 103 X\r\nX-A: 0\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\nSet-Cookie: a=b\r\nx-a:2\r\nset-cookie:  c=d \r\nContent-Length: 0\r\n\r\n"
    )
    assert reader.headers()["x-a"] == "1, 2"
    assert reader.values(b"set-cookie") == [b"a=b", b"c=d"]


def test_a_kept_body_is_bounded_and_its_size_is_not() -> None:
    reader = AnswerReader()
    reader.kept_body, reader.body_limit = [], 10
    feed(reader, b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n" + b"a" * 8)
    feed(reader, b"b" * 22)
    assert (reader.body(), reader.body_bytes) == (b"a" * 8 + b"bb", 30)


# -- answers that are recognised ----------------------------------------------------------------------------------


def learned(data: bytes) -> KnownAnswer | None:
    """After this answer has come whole, as the wire path learns it."""
    known, reader = KnownAnswer(), reading(data)
    if not reader.complete or not reader.keeps_alive or reader.is_followed(has_body=True):
        return None
    known.learn(data, reader.head_bytes, reader.received_bytes, reader.status, 0)
    return known


def recognises(known: KnownAnswer, data: bytes) -> bool:
    return len(data) == known.size and data.startswith(known.head)


@st.composite
def look_alikes(draw: st.DrawFn) -> tuple[Answer, bytes]:
    """An answer, and what comes next: as long as the first one, or nearly so, and different somewhere."""
    first = draw(answers(can_end=False, most=20))
    data = first.data
    how = draw(st.sampled_from(["other", "flip", "cut", "grown", "shifted", "doubled", "filled", "body"]))
    place = draw(st.integers(0, len(data) - 1))
    if how == "other":
        return first, draw(answers(most=20)).data
    if how == "flip":
        return first, data[:place] + bytes([data[place] ^ draw(st.integers(1, 255))]) + data[place + 1 :]
    if how == "cut":
        return first, data[:place]
    if how == "grown":  # the head is longer, the body cut: the same length
        extra = draw(st.sampled_from([b"A: b\r\n", b"X:\r\n", b" ", b"0"]))
        end = data.index(b"\n") + 1
        return first, (data[:end] + extra + data[end:])[: len(data)]
    if how == "shifted":  # a digit of a length or a chunk's size is another
        digits = [at for at, byte in enumerate(data) if 48 <= byte < 58]
        at = draw(st.sampled_from(digits))
        return first, data[:at] + draw(st.sampled_from([b"0", b"1", b"7", b"f"])) + data[at + 1 :]
    if how == "doubled":
        return first, data + data[:place]
    if how == "filled":  # cut, and something else in place of the rest
        return first, data[:place] + draw(st.binary(min_size=len(data) - place, max_size=len(data) - place))
    return first, data[: len(data) - len(first.body)] + draw(
        st.binary(min_size=len(first.body), max_size=len(first.body))
    )


@given(look_alikes())
@settings(max_examples=400, deadline=None)
def test_only_one_whole_answer_alike_is_recognised(pair: tuple[Answer, bytes]) -> None:
    first, following = pair
    known = learned(first.data)
    assert known is not None
    assert recognises(known, first.data)
    assert (known.received_bytes, known.status) == (first.size, first.status)
    if recognises(known, following):
        status, body, behind = read_by_http_client(following)
        assert (status, behind, len(body)) == (first.status, 0, len(first.body))
        assert known.received_bytes == first.size


@given(look_alikes())
@settings(max_examples=300, deadline=None)
def test_http_client_and_the_reader_agree_on_look_alikes(pair: tuple[Answer, bytes]) -> None:
    """What the reader takes for one whole answer, the library does too: it may be stricter, never more lenient."""
    _, following = pair
    try:
        reader = reading(following)
    except BadAnswerError:
        return
    if not reader.complete or reader.is_followed(has_body=True):
        return
    try:
        status, body, _ = read_by_http_client(following)
    except (http.client.HTTPException, ValueError):
        return
    assert (reader.status, reader.body()) == (status, body)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 204 X\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 304 X\r\nContent-Length: 0\r\n\r\n",
        CHUNKED + b"2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \ncontent-length: 4\r\n\r\nabcd",
    ],
)
def test_where_the_head_does_not_tell_the_length_the_whole_answer_has_to_be_alike(data: bytes) -> None:
    known = KnownAnswer()
    head_bytes = data.index(b"\r\n\r\n") + 4
    known.learn(data, head_bytes, len(data), 200, 0)
    if known.head != data:
        # Only where the one length in it is that of the body.
        assert read_by_http_client(data)[2] == 0
        assert data.lower().count(b"content-length") == 1


def test_a_large_answer_without_a_length_is_not_learned() -> None:
    data = CHUNKED + b"2000\r\n" + b"x" * 0x2000 + b"\r\n0\r\n\r\n"
    known = learned(data)
    assert known is not None
    assert not recognises(known, data)
