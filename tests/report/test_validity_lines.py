"""Validity in the summary: one line where there is no doubt, else reasons and advice."""

from typing import Any

from perfcore.metrics.validity import RunSignals, TestSignals, WorkerSignals, judge
from perfcore.report.summary import summary_text
from report.documents import suite_result


def validity_section(validity: dict[str, Any] | None, width: int | None = None) -> list[str]:
    blocks = summary_text(suite_result(validity=validity), width=width).split("\n\n")
    found = [block for block in blocks if block.startswith("Validity")]
    return found[0].splitlines() if found else []


def test_a_valid_run_is_one_line_with_the_most_telling_figures() -> None:
    run = RunSignals(
        workers=(WorkerSignals(busy_percent=12.34, run_queue_wait_percent=0.2),),
        steal_percent=0.0,
        target_is_here=True,
    )
    tests = [
        TestSignals("a", True, p50_ms=9.0, lag_p99_ms=0.0456, service_p99_ms=10.0, client_delay_p99_ms=0.1),
        TestSignals("b", True, p50_ms=9.0, lag_p99_ms=0.0123),
    ]
    assert validity_section(judge(run, tests)) == [
        "Validity  valid  schedule lag p99 0.0456ms · client delay 1 % of p99 · workers busy 12.3 % "
        "· the target is on this machine"
    ]


def test_at_full_throttle_the_line_says_which_side_set_the_rate() -> None:
    run = RunSignals(workers=(WorkerSignals(busy_percent=40.0),))
    (line,) = validity_section(judge(run, [TestSignals("a", False, is_full_throttle=True)]))
    assert line.startswith("Validity  valid  workers busy 40 % · the server set the rate: ")


def test_a_valid_run_of_which_nothing_was_measured_says_so_much() -> None:
    assert validity_section(judge(RunSignals(), [])) == ["Validity  valid"]


def test_doubt_is_a_block_of_reasons_and_then_of_advice() -> None:
    run = RunSignals(throttled_percent=3.0, steal_percent=2.0, usable_cores=2)
    assert validity_section(judge(run, [TestSignals("a", True)])) == [
        "Validity  invalid",
        "  - the control group was throttled for 3 % of the time, more than 1 %: the generator stood still meanwhile",
        "  - steal was 2 %, more than 1 %: the hypervisor gave the generator's cores to others, "
        "and that is in the figures",
        "  → load from a machine whose cores are its own: steal cannot be put right from inside",
        "  → raise the control group's CPU quota, or ask for less load (2 cores to use)",
    ]
    assert validity_section(judge(RunSignals(steal_percent=2.0), []))[0] == "Validity  suspect"


def test_what_many_tests_have_is_told_of_three_and_names_the_others() -> None:
    late = [TestSignals(f"t{at}", True, p50_ms=1.0, lag_p99_ms=9.0) for at in range(50)]
    lines = validity_section(judge(RunSignals(), late), width=1000)
    assert [line.partition(" was ")[0] for line in lines[1:4]] == [
        f"  - t{at}: schedule lag p99" for at in range(3)
    ]
    others = ", ".join(f"t{at}" for at in range(3, 23))
    assert lines[4] == f"  - the same of {others} and 27 more, all in the result"
    four = validity_section(judge(RunSignals(), late[:4]), width=1000)
    assert len([line for line in four if line.startswith("  - t")]) == 4, (
        "the last has a sentence, not a name"
    )


def test_no_reason_that_makes_a_result_invalid_hides_behind_others() -> None:
    worker = WorkerSignals(
        busy_percent=99.0,
        longest_pass_ms=500.0,
        gc_pause_p99_ms=50.0,
        run_queue_wait_percent=50.0,
        descriptors_percent=100.0,
    )
    run = RunSignals(
        workers=(worker,), steal_percent=50.0, throttled_percent=50.0, ephemeral_ports_percent=100.0
    )
    test = TestSignals(
        "a",
        True,
        p50_ms=1.0,
        lag_p99_ms=9.0,
        planned_starts=1000,
        achieved_starts=500,
        dropped=100,
        service_p99_ms=10.0,
        client_delay_p99_ms=9.0,
        seconds_of_growing_lag=9,
    )
    validity = judge(run, [test])
    invalid = [signal["name"] for signal in validity["signals"] if signal["state"] == "invalid"]
    assert len(invalid) == 13
    lines = validity_section(validity, width=1000)
    assert [line.removeprefix("  - ") for line in lines[1:14]] == validity["reasons"][:13]


def test_doubts_beyond_eight_are_counted() -> None:
    names = "abcdefghij"
    worker = WorkerSignals(
        busy_percent=60.0, longest_pass_ms=50.0, longest_gc_pause_ms=5.0, run_queue_wait_percent=5.0
    )
    run = RunSignals(workers=(worker,), steal_percent=2.0, supervisor_cpu_percent=60.0)
    tests = [
        TestSignals(name, True, planned_starts=10_000, achieved_starts=9_999, dropped=1) for name in names
    ]
    tests += [TestSignals("late", True, p50_ms=20.0, lag_p99_ms=2.0)]
    lines = validity_section(judge(run, tests))
    assert lines[0] == "Validity  suspect"
    assert lines[1].startswith("  - a: dropped arrivals were ")
    assert lines[4] == "  - the same of d, e, f, g, h, i, j"
    assert len([line for line in lines if line.startswith("  - ")]) == 9
    assert "  - and 3 more in the result" in lines


def test_reasons_without_their_signals_are_told_as_they_stand() -> None:
    lines = validity_section({"verdict": "suspect", "reasons": ["one", "two"], "advice": []})
    assert lines == ["Validity  suspect", "  - one", "  - two"]


def test_on_a_narrow_terminal_sentences_are_wrapped() -> None:
    run = RunSignals(steal_percent=0.5, target_is_here=True, names_of_several=("api.example.com",))
    for validity in (judge(run, []), judge(RunSignals(steal_percent=2.0), [])):
        lines = validity_section(validity, width=40)
        assert len(lines) > 1
        assert all(len(line) <= 40 for line in lines)


def test_a_result_without_validity_has_no_such_section() -> None:
    assert validity_section(None) == []
