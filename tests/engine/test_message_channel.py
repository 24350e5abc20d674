"""Messages over a stream socket: whole, in order, and the supervisor's end never waits for its caller."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.engine.message_channel import Failure, MessageReader, MessageWriter, framed, read_message
from perfcore.errors import SetupFailedError, SuiteError, UsageError
from perfcore.suite.mistakes import Mistake, ModelError

# Much more than a socket holds by itself.
LARGE = b"x" * (4 << 20)
TIMEOUT_S = 20.0


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        yield one, other


def everything(reader: MessageReader) -> list[object]:
    messages: list[object] = []
    while received := reader.receive(TIMEOUT_S):
        messages += received
    return messages


@given(st.lists(st.binary(max_size=50), max_size=8), st.lists(st.integers(1, 200), max_size=8))
def test_messages_are_whole_and_in_order_however_they_are_cut(messages: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(map(framed, messages))
    one, other = socket.socketpair()
    with one, other:
        reader = MessageReader(other)
        received: list[object] = []
        for cut in [*cuts, len(stream)]:
            piece, stream = stream[:cut], stream[cut:]
            if piece:
                one.sendall(piece)
            with suppress(TimeoutError):
                received += reader.receive(0)
        one.close()
        assert received + everything(reader) == messages


def test_what_was_begun_when_the_other_end_died_is_no_message(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    one, other = ends
    one.sendall(framed("whole") + framed("cut")[:-1])
    one.close()
    assert everything(MessageReader(other)) == ["whole"]


def test_nothing_in_time_is_a_timeout(ends: tuple[socket.socket, socket.socket]) -> None:
    with pytest.raises(TimeoutError):
        MessageReader(ends[0]).receive(0.01)


def test_the_first_message_is_read_and_not_a_byte_more(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    one.sendall(framed({"a": 1}) + b"SIGINT\n")
    assert read_message(other) == {"a": 1}
    assert other.recv(100) == b"SIGINT\n"
    one.close()
    with pytest.raises(EOFError):
        read_message(other)


def test_with_no_room_nothing_waits_and_only_offers_are_left_out(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    one, other = ends
    writer, reader = MessageWriter(one), MessageReader(other)
    writer.queue(LARGE)
    for number in range(100):
        writer.offer(("offered", number))
    writer.queue("kept")
    writer.offer(("offered", 100))
    writer.offer(("offered", 101))
    thread = threading.Thread(target=lambda: (writer.send("last"), one.close()))
    thread.start()
    received = everything(reader)
    thread.join(TIMEOUT_S)
    assert received == [LARGE, ("offered", 99), "kept", ("offered", 101), "last"]


def test_with_room_every_offer_arrives(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    writer, reader = MessageWriter(one), MessageReader(other)
    for number in range(3):
        writer.offer(number)
    assert reader.receive(TIMEOUT_S) == [0, 1, 2]


def test_a_reader_that_is_gone_is_no_error(ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    other.close()
    writer = MessageWriter(one)
    writer.offer("a")
    writer.queue("b")
    writer.send(LARGE)


@pytest.mark.parametrize(
    "error",
    [
        UsageError("procs: 0 is wrong"),
        SetupFailedError("no target"),
        SuiteError(["one", "two"]),
        ModelError("suite 's'", [Mistake(("tests", 0, "method"), "is wrong")]),
    ],
)
def test_an_error_arrives_as_it_was(error: Exception, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    one.sendall(framed(Failure.of(error)))
    arrived = read_message(other).error()
    assert type(arrived) is type(error)
    assert (str(arrived), vars(arrived)) == (str(error), vars(error))
