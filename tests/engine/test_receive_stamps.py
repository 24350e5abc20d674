"""The kernel's receive stamps: what waited is known by how long it was left unread."""

import socket
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.engine.receive_stamps import (
    ANCILLARY_BYTES,
    Stamping,
    ask_for_stamps,
    ask_for_stamps_on,
    peek_stamp,
    peek_stamp_on,
    stamp_of,
)
from perfcore.metrics.samples import DELAY_DISCARDED

SECOND = 1_000_000_000


@pytest.fixture
def ends():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as one,
        listener.accept()[0] as other,
    ):
        yield one, other


def unpacked(delay):
    return delay & 0xFFFF_FFFF, delay >> 32


@pytest.mark.parametrize("ask", [ask_for_stamps, lambda reader: ask_for_stamps_on(reader.fileno())])
def test_what_lay_in_the_kernel_was_stamped_when_it_came(ends, ask):
    reader, writer = ends
    ask(reader)
    began_ns = time.monotonic_ns()
    before_ns = time.time_ns()
    writer.send(b"answer")
    after_ns = time.time_ns()
    time.sleep(0.03)
    peeked = peek_stamp(reader), peek_stamp_on(reader.fileno())
    buffer = bytearray(100)
    size, ancillary, _, _ = reader.recvmsg_into((buffer,), ANCILLARY_BYTES)
    done_ns = time.monotonic_ns()
    assert (size, peeked) == (6, (stamp_of(ancillary),) * 2)
    assert before_ns <= stamp_of(ancillary) <= after_ns
    stamping = Stamping()
    stamping.begin_batch(1)
    delay_us, weight = unpacked(stamping.delay(stamp_of(ancillary), 3, began_ns, done_ns))
    assert 29_000 <= delay_us <= (done_ns - began_ns) // 1000 + 1
    assert weight == 3


def test_without_a_stamp_nothing_is_known(ends):
    reader, writer = ends
    assert peek_stamp(reader) == 0  # nothing there
    writer.send(b"answer")
    assert peek_stamp(reader) == 0  # not asked for
    assert Stamping().delay(0, 1, 0, SECOND) == 0


def test_a_descriptor_that_is_no_stream_is_left_alone():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        ask_for_stamps_on(datagrams.fileno())
        assert datagrams.getsockopt(socket.SOL_SOCKET, 35) == 0
        assert datagrams.getsockname()  # still open


@pytest.mark.parametrize("off_ns", [-SECOND, 2 * SECOND], ids=["from-the-future", "before-it-was-asked"])
def test_a_stamp_that_cannot_be_is_discarded(off_ns):
    stamping = Stamping()
    stamping.begin_batch(1)
    now_ns = time.monotonic_ns()
    delay = stamping.delay(time.time_ns() - off_ns, 1, now_ns - SECOND, now_ns)
    assert unpacked(delay) == (DELAY_DISCARDED, 1)


@given(st.integers(1, 64), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_the_weights_of_those_looked_at_add_up_to_all(events, tens):
    """At any rate each batch stands for as many as are not looked at, but for the last gap."""
    stamping, looked_at, weights = Stamping(), 0, 0
    batches = 20 * tens
    for number in range(100 * batches):
        if number % batches == 0:
            stamping.adapt(SECOND * number)
        stamping.begin_batch(events)
        if stamping.takes_batch:
            looked_at += events
            weights += events * stamping.weight
    total = 100 * batches * events
    assert weights == pytest.approx(total, rel=0.25)
    most = 400 * 100 + batches * events  # a second rate may be twice the first; all of the first stretch
    assert looked_at <= most or looked_at == total
