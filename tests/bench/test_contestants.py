"""The command lines of the tools: what a job asks for stands in them, and perfcore's suites are right ones."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.contestants import FLOOR, TOOLS, TRANSFER, WIRE, Order, suite_of
from bench.job import Job
from bench.scenarios import SCENARIOS
from perfcore.suite.config_loader import load_suite

URL = "http://127.0.0.1:8080/plain"
PEERS = sorted(set(TOOLS) - {WIRE, TRANSFER, FLOOR})


def order(folder: Path, **job: Any) -> Order:
    return Order(Job(**job), URL, 4.0, folder)


def words(tool: str, order: Order) -> list[str]:
    return TOOLS[tool].build("/usr/bin/" + tool, order).words


def everything(tool: str, order: Order) -> str:
    command = TOOLS[tool].build(tool, order)
    return " ".join([*command.words, *command.environment.values(), (command.feed or b"").decode()])


@pytest.mark.parametrize("tool", PEERS)
def test_a_tool_is_given_the_url_the_connections_and_the_seconds(tool: str, tmp_path: Path) -> None:
    given = words(tool, order(tmp_path, connections=37))
    assert URL in everything(tool, order(tmp_path))
    assert "37" in given
    assert "4" in given or "4s" in given


@pytest.mark.parametrize("tool", [tool for tool in PEERS if "close" in TOOLS[tool].knows])
def test_a_tool_that_can_close_connections_is_told_so(tool: str, tmp_path: Path) -> None:
    kept, closed = words(tool, order(tmp_path)), words(tool, order(tmp_path, keepalive=False))
    assert kept != closed


@pytest.mark.parametrize("tool", [tool for tool in PEERS if "post" in TOOLS[tool].knows])
def test_a_tool_that_can_post_is_given_the_body(tool: str, tmp_path: Path) -> None:
    assert str(tmp_path / "body.json") in everything(tool, order(tmp_path, post=True))


def test_http_2_and_http_1_are_not_confused(tmp_path: Path) -> None:
    assert "--h1" in words("h2load", order(tmp_path))
    assert "--h1" not in words("h2load", order(tmp_path, scheme="h2c"))
    assert words("oha", order(tmp_path, scheme="h2c")) != words("oha", order(tmp_path))


def test_threads_are_asked_for_where_processes_are(tmp_path: Path) -> None:
    given = words("wrk", order(tmp_path, processes=2))
    assert given[given.index("-t") + 1] == "2"


def test_a_tool_that_lacks_a_word_of_the_job_is_left_out() -> None:
    assert not TOOLS["ab"].can(Job(scheme="h2c"))
    assert not TOOLS["ab"].can(Job(needs=frozenset({"chunked"})))
    assert not TOOLS["hey"].can(Job(checks=True))
    assert not TOOLS[FLOOR].can(Job(post=True))
    assert TOOLS["wrk"].can(Job(checks=True))
    assert not TOOLS[WIRE].can(Job(scheme="h2c"))


def test_one_kibibyte_is_posted_with_and_without_variables() -> None:
    plain, varied = Job(post=True).body, Job(post=True, variables=True).body
    assert plain is not None
    assert varied is not None
    assert len(plain) == pytest.approx(1024, abs=32)
    assert len(json.loads(plain)["note"]) == len(
        json.loads(varied.replace("@A@", "1").replace("@B@", "2"))["note"]
    )


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=str)
def test_every_suite_of_a_scenario_is_a_right_one(scenario: Any, tmp_path: Path) -> None:
    for entrant in (*scenario.main, *scenario.others):
        if TOOLS[entrant.tool].program == "perfcore":
            path = tmp_path / "suite.yaml"
            path.write_text(json.dumps(suite_of(Order(entrant.job, URL, 4.0, tmp_path))))
            (case,) = load_suite(path).tests
            assert case.parallel_users == entrant.job.connections


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=str)
def test_a_scenario_names_tools_that_there_are_and_aims_at_its_entrants(scenario: Any) -> None:
    entrants = (*scenario.main, *scenario.others)
    assert {entrant.tool for entrant in entrants} <= set(TOOLS)
    labels = [entrant.label for entrant in entrants]
    assert len(labels) == len(set(labels))
    for aim in scenario.aims:
        assert {aim.subject, aim.reference} <= set(labels)
    for entrant in scenario.main:
        assert TOOLS[entrant.tool].can(entrant.job)


def test_an_order_asks_for_at_least_a_second(tmp_path: Path) -> None:
    assert replace(order(tmp_path), seconds=0.2).whole_seconds == 1
