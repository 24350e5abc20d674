"""`preconnect: true` through the whole command: no test has a request that connects or shakes hands."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from integration.forward_proxy import forward_proxy
from integration.runs import assert_numbers_add_up, run
from integration.suite_kinds import results_by_name
from target_process import TargetProcess, running_target

USERS, ITERATIONS = 6, 3


@pytest.fixture(scope="module")
def encrypted() -> Iterator[TargetProcess]:
    with running_target("--tls") as target:
        yield target


def suite(target: TargetProcess, mode: str, tests: dict[str, dict[str, Any]]) -> str:
    load = {"parallel_users": USERS, "iterations": ITERATIONS, "ramp_up": 0, "endpoint": "/health"}
    defaults = {**load, "tls": {"ca": str(target.ca_file)}} if target.ca_file else load
    named = [{"name": name, **keys} for name, keys in tests.items()]
    document = {"name": "s", "base_url": target.url, "mode": mode, "defaults": defaults, "tests": named}
    return json.dumps({"test_suite": document})


def assert_found_its_connections(test: dict[str, Any]) -> None:
    assert_numbers_add_up(test)
    assert test["successful_requests"] == test["attempts"] == USERS * ITERATIONS
    assert (test["connections_opened"], test["resent_requests"]) == (USERS, 0)
    assert {phase: test["phases"][phase]["count"] for phase in ("dns", "connect", "tls")} == {
        "dns": 0,
        "connect": 0,
        "tls": 0,
    }
    (counts,) = test["addresses"].values()
    assert counts == {"connections": USERS, "requests": USERS * ITERATIONS}
    assert sum(test["http_versions"].values()) == USERS


@pytest.mark.parametrize("mode", ["sequential", "parallel"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_handshakes_are_made_before_the_requests_of_each_test(
    tmp_path: Path, encrypted: TargetProcess, mode: str, workers: str
) -> None:
    before = encrypted.stats()
    wire = {"http_version": "1.1"}
    tests = {
        "first": {"preconnect": True},
        "second": {"preconnect": True, **wire},
        "without": {},
        "on the wire without": wire,
    }
    done = run(tmp_path, suite(encrypted, mode, tests), "--procs", workers)
    assert done.code == 0, done.stderr
    after = encrypted.stats()
    results = results_by_name(done)
    assert_found_its_connections(results["first"])
    assert_found_its_connections(results["second"])
    assert [results[name]["engine"] for name in tests] == ["transfer", "wire", "transfer", "wire"]
    for name in ("without", "on the wire without"):
        assert results[name]["phases"]["tls"]["count"] == USERS
    assert after["requests"] - before["requests"] == 4 * USERS * ITERATIONS
    # The second question is on a connection of its own, which is counted when it is asked.
    assert after["connections"] - before["connections"] in (4 * USERS, 4 * USERS + 1)


def test_a_user_who_comes_after_a_second_finds_its_connection_too(
    tmp_path: Path, encrypted: TargetProcess
) -> None:
    tests = {"late": {"preconnect": True, "ramp_up": "2400ms"}}
    done = run(tmp_path, suite(encrypted, "sequential", tests), "--procs", "1")
    assert done.code == 0, done.stderr
    assert_found_its_connections(results_by_name(done)["late"])


def test_tunnels_of_a_proxy_stand_before_the_first_request(tmp_path: Path, encrypted: TargetProcess) -> None:
    with forward_proxy() as proxy:
        tests = {"tunnel": {"preconnect": True, "proxy": proxy.place}}
        done = run(tmp_path, suite(encrypted, "sequential", tests), "--procs", "2")
        assert done.code == 0, done.stderr
        assert_found_its_connections(results_by_name(done)["tunnel"])
        assert (proxy.tunnels, proxy.forwarded, proxy.refused) == (USERS, 0, 0)


def test_connections_to_a_unix_socket_stand_before_the_first_request(tmp_path: Path) -> None:
    path = tmp_path / "target.sock"
    with running_target("--unix", str(path)) as target:
        assert target.url.startswith("unix:")
        tests = {"socket": {"preconnect": True, "unix_socket": str(path)}}
        text = suite(target, "sequential", tests).replace(target.url, "http://any.example")
        done = run(tmp_path, text, "--procs", "2")
        assert done.code == 0, done.stderr
        assert_found_its_connections(results_by_name(done)["socket"])


def test_users_that_differ_in_where_they_go_have_connections_to_there(tmp_path: Path) -> None:
    """The name of each user's own host is resolved to the target."""
    with running_target() as target:
        hosts = {f"h{number}.invalid": "127.0.0.1" for number in range(1, USERS + 1)}
        url = f"http://h${{user()}}.invalid:{target.port}/health"
        tests = {"own": {"preconnect": True, "endpoint": url, "resolve": hosts}}
        done = run(tmp_path, suite(target, "sequential", tests), "--procs", "2")
        assert done.code == 0, done.stderr
        assert_found_its_connections(results_by_name(done)["own"])
        assert target.stats()["connections"] in (USERS, USERS + 1)
