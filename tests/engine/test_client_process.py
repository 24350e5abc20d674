"""What a client costs the process that it lives in: time and CPU while it waits, and descriptors."""

import contextlib
import os
import resource
import ssl
import time
from pathlib import Path

import pytest
from integration.runs import run_python
from target_process import ROOT, TargetProcess

from engine.http_harness import (
    OK,
    answering,
    authority,
    both_engines,
    finish,
    open_client,
    request,
    serving,
    until,
    user,
)

pytestmark = both_engines


def test_a_poll_without_work_waits_as_long_as_asked_and_no_longer() -> None:
    with open_client() as client:
        begin = time.monotonic()
        assert client.poll(0) == []
        assert time.monotonic() - begin < 1
        begin = time.monotonic()
        assert client.poll(0.05) == []
        assert 0.045 < time.monotonic() - begin < 5


def test_waiting_for_a_slow_answer_costs_no_cpu(target: TargetProcess) -> None:
    with open_client() as client:
        exchanges = [user(number) for number in range(100)]
        sent = request(target.url + "/delay/400")
        for exchange in exchanges:
            client.start(exchange, sent)
        finish_connecting = time.monotonic() + 0.2
        while time.monotonic() < finish_connecting:
            assert client.poll(0.02) == []
        cpu_before, polls, done = time.thread_time(), 0, []
        while not done:
            done += client.poll(1.0)
            polls += 1
            assert polls < 500
        assert time.thread_time() - cpu_before < 0.1
        finish(client, 100 - len(done))


def test_what_ended_while_it_was_started_is_in_flight_until_it_is_handed_back() -> None:
    with open_client() as client:
        exchange = user()
        client.start(exchange, request("http://127.0.0.1:1/"))  # refused within connect()
        assert client.in_flight == 1
        assert finish(client, 1) == [exchange]
        assert client.in_flight == 0
        assert exchange.issued_ns <= exchange.done_ns


def descriptors() -> list[str]:
    told = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # that of the listing itself
            told.append(os.readlink(f"/proc/self/fd/{name}"))
    return sorted(told)


def test_close_leaves_no_descriptor_open(target: TargetProcess, tmp_path: Path) -> None:
    context, ca = authority(tmp_path)
    assert isinstance(context, ssl.SSLContext)
    with serving(answering(OK), context) as secure, serving(answering(OK, b"")) as silent:
        for url in (target.url + "/health", secure.url, silent.url):
            before = len(descriptors())
            with open_client() as client:
                exchanges = [user(number) for number in range(60)]
                sent = request(url, tls_ca=ca)
                for exchange in exchanges:
                    client.start(exchange, sent)
                finish(client, 60)
                for exchange in exchanges[:30]:
                    client.start(exchange, sent)  # under way when it is closed
                client.poll(0.01)
                assert len(descriptors()) > before + 60
            # The server's ends are in this process too, where it is a thread.
            until(lambda before=before: len(descriptors()) <= before)
    assert target.stats_when_closed()["open_connections"] == 0


MANY = """
import os, resource, sys
sys.path[:0] = ["tests"]
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
from engine.http_harness import finish, open_client, request, user
with open_client(sys.argv[2]) as client:
    sent = request(sys.argv[1] + "/health")
    exchanges = [user(number) for number in range(1100)]
    done = []
    for _ in range(2):
        for exchange in exchanges:
            client.start(exchange, sent)
            if client.in_flight >= 200:
                done += finish(client, 1)
        done += finish(client, client.in_flight)
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
print(len(done), sum(bool(exchange.error) for exchange in exchanges), highest > 1100)
"""


def test_descriptors_beyond_1023_work(target: TargetProcess, engine: str) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < 3000:
        pytest.skip("needs 3,000 descriptors (ulimit -Hn)")
    child = run_python(ROOT, MANY, target.url, engine)
    assert child.stdout.split() == ["2200", "0", "True"], child.stderr
    counted = target.stats_when_closed()
    assert (counted["requests"], counted["connections"]) == (2200, 1100)
