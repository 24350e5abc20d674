"""What tools say of latency is read as they say it, and errors are their figures less the truth."""

from pathlib import Path
from typing import Any

import pytest

from bench import latency_words
from bench.accuracy import main
from bench.accuracy_runs import Load, Run
from bench.accuracy_table import rate_table, reached_lines, stall_table, stalled_percentile_s
from bench.contestants import TRANSFER, WIRE
from bench.latency_words import Said
from bench.process_tree import Spent
from bench.rate_tools import (
    CLOSED_TOOLS,
    OHA_CORRECTED,
    RATE_TOOLS,
    RateOrder,
    closed_load,
    open_load,
    suite_of,
)
from bench.servers import running_embedded
from perfcore.suite.config_loader import load_suite

SAMPLES = Path(__file__).parent / "latency_samples"
TOOLS = {**RATE_TOOLS, **CLOSED_TOOLS}
URL = "http://127.0.0.1:8080/truth?delay_ms=2"
LOAD = Load("/truth?delay_ms=2", 1000.0, 10, 100)


def sample(name: str) -> str:
    return (SAMPLES / name).read_text()


def order(folder: Path) -> RateOrder:
    return RateOrder(URL, 1230.0, 7, 41, folder)


def run(said: Said, others_cpu_s: float = 0.0, requests: int = 10_000, number: int = 0) -> Run:
    truth = {"p50": 2.0, "p99": 3.0, "p99_9": 4.0, "max": 5.0}
    spent = Spent(0.5, 0.0, 10.0, 0.0, 10.0, 0, 30.0)
    return Run(number, LOAD, requests, requests, truth, said, spent, 1.0, others_cpu_s)


# The figures were read from the samples by eye (hey's: by sort and awk).
@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda: latency_words.perfcore(sample("perfcore.json")), Said(2.510724, 7.287306, None, 1000)),
        (lambda: latency_words.vegeta(sample("vegeta.json")), Said(2.410469, 6.047817, None, 600)),
        (
            lambda: latency_words.vegeta(sample("vegeta.json"), sample("vegeta.hdrplot")),
            Said(2.410469, 6.047817, 15.637858, 600),
        ),
        (lambda: latency_words.oha(sample("oha.json")), Said(2.244725, 4.380109, 5.510359, 200)),
        (lambda: latency_words.k6(sample("k6.json")), Said(2.250564, 10.397942, 20.473054800000416, 601)),
        (lambda: latency_words.autocannon(sample("autocannon.json")), Said(2, 36, 38, 696)),
        (lambda: latency_words.hey(sample("hey.csv")), Said(3.3, 8.1, 8.1, 40)),
        (lambda: latency_words.wrk(sample("wrk.txt")), Said(2.12, 5.82, None, 893)),
        (lambda: latency_words.wrk(sample("wrk2.txt")), Said(0.987, 5.07, 1030.0, 20_018)),
    ],
)
def test_a_tools_words_are_read_as_it_says_them(read: Any, said: Said) -> None:
    got = read()
    assert got.percentiles == pytest.approx(said.percentiles)
    assert (got.requests, got.remark) == (said.requests, "")


def test_what_bears_on_the_figures_is_kept_as_a_remark() -> None:
    assert latency_words.perfcore(
        sample("perfcore.json").replace('"dropped_arrivals": 0', '"dropped_arrivals": 1234')
    ).remark == ("1,234 arrivals dropped")
    dropped = '{"dropped_iterations": {"values": {"count": 50}}, '
    assert latency_words.k6(sample("k6.json").replace("{", dropped, 1)).remark == "50 iterations dropped"
    timed_out = sample("oha.json").replace('"errorDistribution": {', '"errorDistribution": {"timeout": 3, ')
    assert latency_words.oha(timed_out).remark == "3 timeout"


@pytest.mark.parametrize(
    "read",
    [
        getattr(latency_words, name)
        for name in ("perfcore", "vegeta", "oha", "k6", "autocannon", "hey", "wrk")
    ],
)
@pytest.mark.parametrize("text", ["", "Killed\n"])
def test_a_tool_that_says_nothing_is_not_read_as_figures(read: Any, text: str) -> None:
    with pytest.raises(ValueError, match="no "):
        read(text)


@pytest.mark.parametrize("name", RATE_TOOLS)
def test_every_tool_is_given_the_rate_the_seconds_the_users_and_the_url(name: str, tmp_path: Path) -> None:
    command = RATE_TOOLS[name].build("/usr/bin/tool", order(tmp_path))
    suite = tmp_path / "suite.yaml"
    given = (
        " ".join(command.words)
        + (command.feed or b"").decode()
        + (suite.read_text() if suite.exists() else "")
    )
    # hey's rate is that of each of its 41 workers.
    assert {"hey": "-q 30", "perfcore": '"rate": 1230'}.get(name.split()[0], "1230") in given
    assert "41" in given
    assert "7" in given
    assert URL in given


def test_oha_is_told_to_correct_in_a_row_of_its_own(tmp_path: Path) -> None:
    plain, corrected = (
        RATE_TOOLS[name].build("oha", order(tmp_path)).words for name in ("oha", OHA_CORRECTED)
    )
    assert set(corrected) - set(plain) == {"--latency-correction"}


def test_the_suites_are_right_ones(tmp_path: Path) -> None:
    for load in (open_load, closed_load):
        path = tmp_path / "suite.yaml"
        path.write_text(suite_of(order(tmp_path), load(order(tmp_path))))
        (case,) = load_suite(path).tests
        assert case.duration_s == 7


def test_an_error_is_what_a_tool_says_less_the_truth() -> None:
    got = run(Said(2.1, 2.75, None, 10_000))
    assert got.errors_us == {"p50": pytest.approx(100), "p99": pytest.approx(-250), "p99_9": None}
    assert got.cpu_us == pytest.approx(50)
    assert got.achieved == pytest.approx(1.0)


def test_disturbed_runs_are_told_only_where_there_is_no_quiet_one() -> None:
    quiet, noisy = run(Said(2.1, 3.0, 4.0, 10_000)), run(Said(9.0, 9.0, 9.0, 10_000), others_cpu_s=5.0)
    table = rate_table("t", {WIRE: [noisy, quiet, noisy], TRANSFER: [noisy], "absent": []})
    wire, transfer = (line for line in table.splitlines() if line.startswith("| perfcore"))
    assert "| +100 | +0 | +0 | 0.00 | 1 of 3 |" in wire
    assert "| +7,000 | +6,000 | +5,000 | 0.50 | 0 of 1 |" in transfer


def test_a_figure_to_reach_is_told_for_perfcore_where_the_server_has_time_to_spare() -> None:
    good, bad = run(Said(2.1, None, None, 1)), run(Said(1.8, None, None, 1))
    assert reached_lines(0.5, {WIRE: [good], TRANSFER: [bad], "oha": [bad]}) == [
        f"- at 50%: error p50 < 150 µs: reached: {WIRE}: +100 µs",
        f"- at 50%: error p50 < 150 µs: NOT reached: {TRANSFER}: -200 µs",
    ]
    assert reached_lines(0.9, {WIRE: [good]}) == []
    (line,) = reached_lines(0.1, {WIRE: [run(Said(2.1, None, None, 1), others_cpu_s=9.0)]})
    assert line.endswith("+100 µs; other processes used its core, so measure again")


def test_counts_that_differ_and_requests_without_a_stamp_are_told() -> None:
    odd = Run(
        1,
        LOAD,
        90,
        80,
        run(Said(1, 1, 1, 1)).truth_ms,
        Said(1.0, 1.0, 1.0, 91),
        run(Said(1, 1, 1, 1)).spent,
        0,
        0,
    )
    table = rate_table("t", {WIRE: [odd]})
    assert f"{WIRE}: round 2: 10 of 90 have no kernel stamp, it says 91 requests, the target 90" in table


def test_by_hand_a_stall_of_1_s_in_10_makes_a_p99_of_900_ms() -> None:
    # 1,000 arrivals, one each 10 ms; those of the last second wait for its end.
    waits = sorted(10.0 - at / 100 if at >= 900 else 0.0 for at in range(1000))
    assert stalled_percentile_s(0.99) == pytest.approx(waits[989], abs=0.011)
    assert stalled_percentile_s(0.999) == pytest.approx(waits[998], abs=0.011)
    assert stalled_percentile_s(0.5) == waits[499] == 0
    assert "p99 900" in stall_table("t", {WIRE: [run(Said(0.2, 900.0, None, 10_000))]})


def test_the_target_tells_what_it_held_once() -> None:
    with running_embedded(frozenset({0})) as server:
        assert server.take_held()["count"] == 0
        assert server.route("/truth").startswith("http://127.0.0.1:")


@pytest.mark.parametrize("arguments", [["--only", "nothing"]])
def test_an_unknown_tool_is_one_clear_line(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("no such tool: nothing; there are perfcore wire, ")
