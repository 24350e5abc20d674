"""Requests and their answers over real connections: whose answer is it, and is the connection used again."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.answers import Answer, answers_in_pieces
from engine.http_harness import (
    OK,
    WAIT_S,
    Connection,
    RawServer,
    descriptor_of,
    open_client,
    request,
    send,
    serving,
    until,
    user,
)
from engine.wire_load import Load
from perfcore.engine.poller import is_readable
from perfcore.metrics.outcomes import ERROR_KINDS

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

CLEAN, DOUBLED, LATE, HALF_LATE, IDLE_408, CUT, CLOSED_AFTER, GARBAGE, BYTE, SPLIT = range(10)


class Mischief:
    """Answers the requests of a user in turn, each with its own path as body, and does what the script says after."""

    def __init__(self, script: list[int]) -> None:
        self._script = script
        self.asked: list[bytes] = []

    def __call__(self, connection: Connection) -> None:
        while (got := connection.read_request()) is not None:
            path = got.split(b" ")[1]
            self.asked.append(path)
            whole = self._answer(path)
            what = self._script[len(self.asked) - 1]
            if what in (DOUBLED, BYTE):
                whole += self._answer(b"/surplus") if what == DOUBLED else b"\n"
            if what == GARBAGE:
                whole = b"garbage" + whole
            if what == CUT:
                connection.send(whole[:-2])
                return
            if what == SPLIT:
                connection.send(whole[:30])
                whole = whole[30:]
            connection.send(whole)
            if what == LATE:
                connection.send(self._answer(b"/late"))
            elif what == HALF_LATE:
                connection.send(self._answer(b"/late")[:25])
            elif what == IDLE_408:
                connection.send(b"HTTP/1.1 408 X\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            if what in (CLOSED_AFTER, IDLE_408):
                return

    @staticmethod
    def _answer(path: bytes) -> bytes:
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path)


# The server says something more, which the user does not ask for before it has come.
_SPEAKS_LATER = (LATE, HALF_LATE, IDLE_408, CLOSED_AFTER, DOUBLED, BYTE)


@given(st.lists(st.integers(0, 9), min_size=1, max_size=8))
@example([CLEAN, LATE, CLEAN, HALF_LATE, CLEAN, IDLE_408, CLEAN, DOUBLED])
@settings(max_examples=60, deadline=None)
def test_no_answer_is_given_to_another_request(script: list[int]) -> None:
    mischief = Mischief(script)
    with serving(mischief) as server, open_client("wire") as client:
        exchange = user()
        for number, what in enumerate(script):
            path = f"/{number}" + "x" * number
            send(client, exchange, request(server.url + path, "POST", body=b"", keep_body=True))
            expected = {CUT: "truncated", GARBAGE: "bad_response"}.get(what, "")
            assert (ERROR_KINDS[exchange.error], exchange.attempts) == (expected, 1)
            if not expected:
                assert exchange.body == path.encode()
            if what in _SPEAKS_LATER:
                fd = descriptor_of(exchange)
                until(lambda fd=fd: fd < 0 or is_readable(fd))
        assert len(mischief.asked) == len(script)
        unclean = sum(what not in (CLEAN, SPLIT) for what in script[:-1])
        assert len(server.connections) == 1 + unclean


@given(st.lists(st.sampled_from([LATE, HALF_LATE, IDLE_408]), min_size=1, max_size=4))
@settings(max_examples=20, deadline=None)
def test_what_is_said_while_nothing_is_asked_closes_the_connection(script: list[int]) -> None:
    with serving(Mischief(script)) as server, open_client("wire") as client:
        exchange = user()
        for number in range(len(script)):
            send(client, exchange, request(f"{server.url}/{number}"))
            until(lambda: not client.poll(0.0) and descriptor_of(exchange) < 0)
            assert client.in_flight == 0
        assert len(server.connections) == len(script)


class Playing:
    """Plays the n-th of these answers to the n-th request of each connection, in these pieces; goes on after the last
    with a plain one."""

    def __init__(self, played: list[tuple[Answer, list[bytes]]]) -> None:
        self._played = played
        self.requests = 0

    def __call__(self, connection: Connection) -> None:
        for _, pieces in self._played:
            if connection.read_request() is None:
                return
            self.requests += 1
            for piece in pieces:
                connection.send(piece)
        while connection.read_request() is not None:
            self.requests += 1
            connection.send(OK)


@given(st.lists(answers_in_pieces(can_end=False), min_size=1, max_size=10))
@settings(max_examples=40, deadline=None)
def test_generated_answers_are_counted_as_they_were_made_in_mid_cycle(
    played: list[tuple[Answer, list[bytes]]],
) -> None:
    playing = Playing(played)
    count = len(played) + 2
    with serving(playing) as server:
        load = Load(request(server.url), users=1, iterations=count).run()
        load.assert_consistent(server, count)
    expected = [(made.status, made.size) for made, _ in played] + [(200, len(OK))] * 2
    assert load.by_user("status", "received_bytes")[1] == expected
    assert (playing.requests, len(server.connections)) == (count, 1)


@given(answers_in_pieces())
@settings(max_examples=60, deadline=None)
def test_libcurl_reads_generated_answers_alike(made: tuple[Answer, list[bytes]]) -> None:
    expected, pieces = made

    def serve(connection: Connection) -> None:
        connection.read_request()
        for piece in pieces:
            connection.send(piece)

    told = []
    for engine in ("transfer", "wire"):
        with serving(serve) as server, open_client(engine) as client:
            exchange = send(client, user(), request(server.url, keep_body=True, keep_headers=True))
            told.append((ERROR_KINDS[exchange.error], exchange.status, exchange.body))
            if not expected.trailers:  # libcurl counts them, and keeps them with the headers
                told[-1] += (exchange.received_bytes, exchange.headers)
    assert told[0] == told[1]
    assert told[1][:3] == ("", expected.status, expected.body)


def cut_everywhere(data: bytes) -> list[bytes]:
    return [data[:place] for place in range(len(data))]


@pytest.mark.parametrize("whole", [OK, CHUNKED + b"2;x\r\nok\r\n0\r\n\r\n"])
def test_an_answer_cut_at_any_byte_is_the_same_failure_as_through_libcurl(whole: bytes) -> None:
    cuts = cut_everywhere(whole)

    def serve(connection: Connection) -> None:
        got = connection.read_request()
        assert got is not None
        connection.send(cuts[int(got.split(b" ")[1][1:])])

    kinds: dict[str, list[str]] = {}
    for engine in ("transfer", "wire"):
        with serving(serve) as server, open_client(engine) as client:
            exchanges = [user(number) for number in range(len(cuts))]
            kinds[engine] = [
                ERROR_KINDS[send(client, exchange, request(f"{server.url}/{place}", timeout_s=WAIT_S)).error]
                for place, exchange in enumerate(exchanges)
            ]
            assert_one_connection_each(server, len(cuts))
    assert set(kinds["wire"]) == {"closed", "truncated"}
    # libcurl takes a head of chunks for whole that lacks its last byte.
    lenient = [place for place, kind in enumerate(kinds["transfer"]) if not kind]
    assert lenient in ([], [whole.index(b"\r\n\r\n") + 3])
    for place in lenient:
        kinds["transfer"][place] = "truncated"
    assert kinds["wire"] == kinds["transfer"]


def assert_one_connection_each(server: RawServer, count: int) -> None:
    assert len(server.connections) == count
