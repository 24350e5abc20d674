"""What is told of runs: ratios block by block, the word for an aim, and counts that do not agree."""

import pytest

from bench.job import Job
from bench.pairs import Estimate
from bench.process_tree import Spent
from bench.scenarios import Aim, Entrant, Scenario
from bench.speed_runs import Entry, Run
from bench.speed_table import Outcome, document_of, outcomes_of, rows_of, table_text, uneven_counts

SUBJECT, REFERENCE = Entrant("a", Job(), "subject"), Entrant("b", Job(), "reference")
SCENARIO = Scenario("s", "a scenario", (SUBJECT, REFERENCE), aims=(Aim("subject", "reference", 1.2),))


def entry(entrant: Entrant, costs_us: list[float], attempts: int | None = None) -> Entry:
    runs = [
        Run(block, 1000, 5.0, Spent(cost / 1000, 0.0, 5.5, 0.0, 5.5, 0, 30.0), 1.0, 0.55, attempts)
        for block, cost in enumerate(costs_us)
    ]
    return Entry(entrant, "1.0", ["a", "b"], runs)


def test_the_ratio_is_that_of_the_same_blocks() -> None:
    # Twice as much in every block, while the machine slows down fivefold.
    entries = [entry(SUBJECT, [2.0, 4.0, 10.0]), entry(REFERENCE, [1.0, 2.0, 5.0])]
    cheap, dear = rows_of(SCENARIO, entries)
    assert (cheap.label, dear.label) == ("reference", "subject")
    assert cheap.ratio is None
    assert dear.ratio is not None
    assert (dear.ratio.mean, dear.ratio.high) == (pytest.approx(2.0), pytest.approx(2.0))
    assert dear.cpu_us == pytest.approx(4.0)
    assert dear.rate == pytest.approx(200.0)


@pytest.mark.parametrize(
    ("estimate", "aim", "verdict"),
    [
        (Estimate(1.1, 1.05, 1.15, 10), Aim("a", "b", 1.2), "reached"),
        (Estimate(1.1, 1.0, 1.3, 10), Aim("a", "b", 1.2), "reached, not beyond doubt"),
        (Estimate(1.3, 1.1, 1.5, 10), Aim("a", "b", 1.2), "NOT reached"),
        (Estimate(0.9, None, None, 1), Aim("a", "b", 1.2), "reached, not beyond doubt"),
        (Estimate(0.9, 0.87, 0.95, 10), Aim("a", "b", 0.85, "per_core"), "reached"),
        (Estimate(0.8, 0.7, 0.9, 10), Aim("a", "b", 0.85, "rate"), "NOT reached"),
        (None, Aim("a", "b", 1.2), "not measured"),
    ],
)
def test_an_aim_is_reached_beyond_doubt_where_its_whole_interval_lies_within(
    estimate: Estimate | None, aim: Aim, verdict: str
) -> None:
    assert Outcome(aim, estimate).verdict == verdict


def test_an_aim_at_someone_who_did_not_run_is_not_measured() -> None:
    (outcome,) = outcomes_of(SCENARIO, [entry(REFERENCE, [1.0])])
    assert outcome.verdict == "not measured"


def test_attempts_that_the_server_did_not_count_are_told() -> None:
    entries = [entry(SUBJECT, [1.0], attempts=999), entry(REFERENCE, [1.0], attempts=1000)]
    assert uneven_counts(entries) == ["subject, block 1: 999 attempts, the server counted 1000"]
    assert "999 attempts" in table_text(SCENARIO, entries, {})


def test_a_failure_is_told_and_its_entrant_has_no_row() -> None:
    failed = Entry(SUBJECT, "1.0", ["a"], [], "exit code 1")
    text = table_text(SCENARIO, [failed, entry(REFERENCE, [1.0, 1.0])], {})
    assert "subject: exit code 1" in text
    assert "| subject |" not in text
    assert "not measured" in text


def test_what_is_kept_has_every_run_and_every_command() -> None:
    document = document_of(SCENARIO, [entry(SUBJECT, [2.0, 2.0]), entry(REFERENCE, [1.0, 1.0])])
    assert [len(entrant["runs"]) for entrant in document["entrants"]] == [2, 2]
    assert document["entrants"][0]["command"] == ["a", "b"]
    assert document["entrants"][0]["runs"][0]["figure_cpu"] == pytest.approx(2e-6)
    assert document["aims"][0]["verdict"] == "NOT reached"


def test_what_the_start_costs_and_what_else_ran_is_told() -> None:
    text = table_text(SCENARIO, [entry(SUBJECT, [2.0, 2.0]), entry(REFERENCE, [1.0, 1.0])], {"a": 0.5})
    # Half a second over a thousand requests; 0.55 s of 5.5.
    assert "subject: 500.00 µs of it are start and end, 0.50 s of CPU a run" in text
    assert "used 0.10 cores meanwhile" in text


def test_without_its_reference_nobody_is_compared() -> None:
    assert "| subject | 2.00 | 2.00 - 2.00 | - |" in table_text(SCENARIO, [entry(SUBJECT, [2.0, 2.0])], {})
