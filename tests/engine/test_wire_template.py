"""Requests that differ from each other: the same bytes in cycles, in the general way, and through libcurl."""

import re

import pytest

from engine.http_harness import OK, Connection, open_client, send, serving
from engine.http_harness import user as user_of
from engine.wire_load import Load
from perfcore.engine.scenario import Scenario
from perfcore.suite.test_suite import TestSuite

USERS, ITERATIONS = 3, 8
CASES: list[dict[str, object]] = [
    {"endpoint": "/u/${user()}/${iteration()}?q=${uuid()}"},
    {"endpoint": "/u/../${user()}/./%7e?"},
    {"endpoint": "/", "headers": {"X-Id": "${uuid()}", "X-Empty": "", "Accept": "text/${user()}"}},
    {"endpoint": "/", "headers": {"Host": "h${user()}.example", "X": "${iteration()}"}},
    {"endpoint": "/", "headers": {"Connection": "keep-alive", "X": "${iteration()}"}},
    {"endpoint": "/", "params": {"a": "${iteration()}", "b": "zoë /?#"}},
    {"endpoint": "/", "method": "POST", "json": {"id": "${uuid()}", "n": "${iteration()}"}},
    {"endpoint": "/", "method": "PUT", "body": "${iteration()}" * 9, "headers": {"X-N": "${user()}"}},
    {"endpoint": "/", "method": "POST", "form": {"q": "${uuid()}"}, "compressed": True},
    {"endpoint": "/${uuid()}", "method": "HEAD"},
    {"endpoint": "/", "auth": {"type": "basic", "username": "u", "password": "${iteration()}"}},
    {"endpoint": "/${iteration()}", "cookies": True},
    {"endpoint": "/", "trace": "w3c"},
    {
        "endpoint": "/${iteration()}",
        "trace": "w3c",
        "headers": {"X-Id": "${uuid()}", "X": "x", "Accept": "a/b"},
    },
    {"endpoint": "/", "trace": "w3c", "headers": {"Host": "h.example", "Connection": "keep-alive", "X": "x"}},
    {"endpoint": "/", "trace": "w3c", "method": "POST", "json": {"a": 1}, "headers": {"X": "x"}},
    {"endpoint": "/", "trace": "w3c", "method": "PUT", "body": "${iteration()}"},
    {"endpoint": "/", "trace": "w3c", "cookies": True, "headers": {"Cookie": "a=b", "X": "x"}},
    {"endpoint": "/", "trace": "w3c", "method": "HEAD"},
]
TRACEPARENT = re.compile(rb"(?<=\r\ntraceparent: )00-[0-9a-f]{32}-[0-9a-f]{16}-01(?=\r\n)")


class Keeper:
    """Keeps the requests of each connection."""

    def __init__(self) -> None:
        self.seen: list[list[bytes]] = []

    def __call__(self, connection: Connection) -> None:
        own: list[bytes] = []
        self.seen.append(own)
        while (got := connection.read_request()) is not None:
            own.append(got)
            connection.send(OK.partition(b"ok")[0] if got.startswith(b"HEAD") else OK)


def scenario_of(url: str, case: dict[str, object]) -> Scenario:
    suite = TestSuite(name="s", base_url=url, tests=[{"name": "t", **case}])  # type: ignore[list-item]
    return Scenario(suite, suite.tests[0], 0, 7)


def sent_in_loads(case: dict[str, object], *, cycles: bool) -> tuple[list[list[bytes]], Load]:
    keeper = Keeper()
    with serving(keeper) as server:
        load = Load(scenario_of(server.url, case), cycles=cycles, users=USERS, iterations=ITERATIONS).run()
        load.assert_consistent(server, USERS * ITERATIONS)
        return tidy(keeper, server.port), load


def sent_by_libcurl(case: dict[str, object]) -> list[list[bytes]]:
    keeper = Keeper()
    with serving(keeper) as server, open_client("transfer") as client:
        made = scenario_of(server.url, case)
        for number in range(1, USERS + 1):
            exchange = user_of(number)
            for iteration in range(1, ITERATIONS + 1):
                exchange.iteration = iteration
                send(client, exchange, made.request_for(exchange))
        return tidy(keeper, server.port)


def tidy(keeper: Keeper, port: int) -> list[list[bytes]]:
    """By connection; without what differs between two runs of the same load."""
    return sorted(
        [TRACEPARENT.sub(b"IDS", got.replace(b":%d" % port, b":PORT")) for got in own] for own in keeper.seen
    )


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_users_requests_are_the_same_bytes_whoever_sends_them(case: dict[str, object]) -> None:
    cycled, load = sent_in_loads(case, cycles=True)
    general, other = sent_in_loads(case, cycles=False)
    by_libcurl = sent_by_libcurl(case)
    assert cycled == general == by_libcurl
    assert load.outcomes() == {("", 200): USERS * ITERATIONS}
    facts = ("status", "received_bytes", "sent_bytes", "attempts", "connections", "flags")
    assert load.by_user(*facts) == other.by_user(*facts)


@pytest.mark.parametrize("transfers", [False, True], ids=["wire", "transfer"])
@pytest.mark.parametrize("cycles", [True, False], ids=["cycles", "general"])
def test_a_trace_id_is_that_of_the_due_instant_in_the_row_and_slows_nobody_down(
    *, transfers: bool, cycles: bool
) -> None:
    starts: list[int] = []
    for more in ({}, {"trace": "w3c"}):
        keeper = Keeper()
        with serving(keeper) as server:
            made = scenario_of(server.url, {"endpoint": "/", "headers": {"X": "x"}, **more})
            load = Load(made, cycles, transfers, users=USERS, iterations=ITERATIONS).run()
        starts.append(load.starts)
    assert made.trace_ids is not None
    ids = made.trace_ids
    of_rows = [
        [ids.header(user, due_ns)[-55:].encode() for (due_ns,) in rows]
        for user, rows in load.by_user("due_ns").items()
    ]
    assert sorted(of_rows) == sorted(TRACEPARENT.findall(b"".join(own)) for own in keeper.seen)
    (others,) = {TRACEPARENT.sub(b"", got) for own in keeper.seen for got in own}
    assert others.count(b"\r\nX: x\r\n") == 1
    assert load.outcomes() == {("", 200): USERS * ITERATIONS}
    # The loop is asked for as few of each user as without.
    assert starts[0] == starts[1]
    assert (starts[1] < USERS * ITERATIONS) is cycles


def test_the_bytes_that_were_sent_are_those_of_the_rows() -> None:
    keeper = Keeper()
    with serving(keeper) as server:
        made = scenario_of(server.url, {"endpoint": "/", "method": "POST", "body": "${iteration()}${uuid()}"})
        load = Load(made, users=2, iterations=120).run()
        load.assert_consistent(server, 240)
    by_user = sorted([size for (size,) in rows] for rows in load.by_user("sent_bytes").values())
    assert by_user == sorted([len(got) for got in own] for own in keeper.seen)
    # The loop is asked for the first two of each user only.
    assert load.starts == 4
