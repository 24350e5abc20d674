"""The table of the accuracy rules, section 7, row by row: at a limit, just below and just above it."""

from dataclasses import replace
from typing import Any

import pytest

from perfcore.metrics.validity import RunSignals, TestSignals, WorkerSignals, judge

OPEN = TestSignals("get", is_open=True)
CLOSED = TestSignals("get", is_open=False)
VERDICTS = {"ok": "valid", "noted": "valid", "warn": "suspect", "invalid": "invalid"}


def signal_of(document: dict[str, Any], name: str) -> dict[str, Any]:
    (signal,) = [signal for signal in document["signals"] if signal["name"] == name]
    return dict(signal)


def of_worker(test: TestSignals, **figures: float) -> dict[str, Any]:
    """With a worker that is fine beside the one that has these figures."""
    fine = WorkerSignals(busy_percent=0.0)
    return judge(RunSignals(workers=(fine, WorkerSignals(**figures))), [test])


# name, limit of warn, limit of invalid in an open model, the same in a closed one
OF_A_WORKER = [
    ("busy_percent", "loop_busy_percent", 50, 70, None),
    ("longest_pass_ms", "longest_pass_ms", 10, 100, 100),
    ("longest_gc_pause_ms", "longest_gc_pause_ms", 1, None, None),
    ("gc_pause_p99_ms", "gc_pause_p99_ms", None, 10, 10),
    ("run_queue_wait_percent", "run_queue_wait_percent", 1, 10, None),
]
OF_THE_RUN = [
    ("steal_percent", "steal_percent", 1, 5, None),
    ("throttled_percent", "cgroup_throttled_percent", 0, 1, 1),
    ("supervisor_cpu_percent", "supervisor_cpu_percent", 50, None, None),
]
TINY = 0.000_001


@pytest.mark.parametrize("test", [OPEN, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize("row", [*OF_A_WORKER, *OF_THE_RUN], ids=lambda row: row[1])
def test_a_figure_at_its_limit_is_not_beyond_it_and_just_above_is(
    test: TestSignals, row: tuple[str, str, float | None, float | None, float | None]
) -> None:
    figure, name, warn, open_invalid, closed_invalid = row
    invalid = open_invalid if test.is_open else closed_invalid
    beyond_warn = "ok" if warn is None else "warn"
    cases = [(0.0, "ok")]
    cases += [] if warn is None else [(warn, "ok"), (warn + TINY, "warn")]
    cases += [(10_000.0, beyond_warn)] if invalid is None else []
    cases += [] if invalid is None else [(invalid, beyond_warn), (invalid + TINY, "invalid")]
    for value, state in cases:
        if row in OF_A_WORKER:
            document = of_worker(test, **{figure: value})
        else:
            document = judge(replace(RunSignals(), **{figure: value}), [test])  # type: ignore[arg-type]
        signal = signal_of(document, name)
        assert (signal["value"], signal["state"]) == (value, state)
        assert (signal["warn"], signal["invalid"]) == (warn, invalid)
        assert document["verdict"] == VERDICTS[state]
        assert len(document["reasons"]) == (state != "ok")


@pytest.mark.parametrize(
    ("p50_ms", "warn", "invalid"),
    [
        (100.0, 5.0, 20.0),
        (20.0, 1.0, 4.0),
        (10.0, 1.0, 2.0),
        (5.0, 1.0, 1.0),
        (0.1, 1.0, 1.0),
        (None, 1.0, None),
    ],
)
def test_lag_is_judged_by_the_p50_and_never_below_a_millisecond(
    p50_ms: float | None, warn: float, invalid: float | None
) -> None:
    def state(lag_ms: float) -> str:
        signal = signal_of(judge(RunSignals(), [replace(OPEN, p50_ms=p50_ms, lag_p99_ms=lag_ms)]), name)
        assert (signal["warn"], signal["invalid"]) == (warn, invalid)
        return str(signal["state"])

    name = "schedule_lag_p99_ms"
    assert state(warn) == "ok"
    assert state(warn + TINY) == ("invalid" if warn == invalid else "warn")
    if invalid is not None:
        assert state(invalid) == ("ok" if warn == invalid else "warn")
        assert state(invalid + TINY) == "invalid"


def lag_growing(seconds: int) -> TestSignals:
    return replace(OPEN, seconds_of_growing_lag=seconds)


def client_delay(percent: float) -> TestSignals:
    return replace(OPEN, service_p99_ms=10.0, client_delay_p99_ms=percent / 10)


def started(count: int) -> TestSignals:
    return replace(OPEN, planned_starts=100_000, achieved_starts=count)


def dropped(count: int) -> TestSignals:
    return replace(OPEN, planned_starts=100_000, achieved_starts=100_000 - count, dropped=count)


def stalled(share: float) -> TestSignals:
    return replace(CLOSED, stall_share=share)


def worker_p99s(*p99s: float | None) -> TestSignals:
    return replace(CLOSED, worker_p99_ms=p99s)


@pytest.mark.parametrize(
    ("test", "name", "value", "state"),
    [
        (lag_growing(4), "schedule_lag_growing_s", 4, "ok"),
        (lag_growing(5), "schedule_lag_growing_s", 5, "invalid"),
        (client_delay(5), "client_delay_p99_percent", 5, "ok"),
        (client_delay(5.0001), "client_delay_p99_percent", 5.0001, "warn"),
        (client_delay(20), "client_delay_p99_percent", 20, "warn"),
        (client_delay(20.0001), "client_delay_p99_percent", 20.0001, "invalid"),
        (client_delay(162), "client_delay_p99_percent", 100, "invalid"),  # of the answers that were looked at
        (replace(client_delay(30), is_open=False), "client_delay_p99_percent", 30, "invalid"),
        (started(100_000), "achieved_starts_percent", 100, "ok"),
        (started(99_000), "achieved_starts_percent", 99, "ok"),
        (started(98_999), "achieved_starts_percent", 98.999, "warn"),
        (started(95_000), "achieved_starts_percent", 95, "warn"),
        (started(94_999), "achieved_starts_percent", 94.999, "invalid"),
        (started(0), "achieved_starts_percent", 0, "invalid"),
        (dropped(0), "dropped_arrivals_percent", 0, "ok"),
        (dropped(1), "dropped_arrivals_percent", 0.001, "warn"),
        (dropped(100), "dropped_arrivals_percent", 0.1, "warn"),
        (dropped(101), "dropped_arrivals_percent", 0.101, "invalid"),
        (replace(dropped(100), planned_starts=None), "dropped_arrivals_percent", 0.1, "warn"),
        (stalled(0.01), "stall_share_percent", 1, "ok"),
        (stalled(0.010001), "stall_share_percent", 1.0001, "warn"),
        (stalled(1.0), "stall_share_percent", 100, "warn"),
        (worker_p99s(1.0, 1.5), "worker_p99_ratio", 1.5, "ok"),
        (worker_p99s(3.0, None, 2.0, 2.5), "worker_p99_ratio", 1.5, "ok"),
        (worker_p99s(1.0, 1.50001), "worker_p99_ratio", 1.50001, "warn"),
        (worker_p99s(0.1, 0.15), "worker_p99_ratio", 1.5, "ok"),  # 0.15 / 0.1 is 1.4999999999999998
        (worker_p99s(0.2, 0.3), "worker_p99_ratio", 1.5, "ok"),  # 0.3 / 0.2 is 1.4999999999999998 as well
    ],
)
def test_a_tests_figures_have_their_limits(test: TestSignals, name: str, value: float, state: str) -> None:
    document = judge(RunSignals(), [test])
    signal = signal_of(document, name)
    assert signal["test"] == "get"
    assert signal["value"] == pytest.approx(value, abs=1e-9)
    assert signal["state"] == state


@pytest.mark.parametrize("name", ["descriptors_percent", "ephemeral_ports_percent"])
@pytest.mark.parametrize(
    ("value", "state"), [(80.0, "ok"), (80.001, "warn"), (99.999, "warn"), (100.0, "invalid")]
)
def test_what_can_be_exhausted_is_invalid_when_it_is(name: str, value: float, state: str) -> None:
    if name == "descriptors_percent":
        document = of_worker(CLOSED, descriptors_percent=value)
    else:
        document = judge(RunSignals(ephemeral_ports_percent=value), [CLOSED])
    assert signal_of(document, name)["state"] == state


@pytest.mark.parametrize("test", [OPEN, CLOSED], ids=["open", "closed"])
@pytest.mark.parametrize(
    ("whole", "worst", "state"),
    [
        ({"busy_percent": 50.0}, {"worst_busy_percent": 70.0}, "ok"),
        ({"busy_percent": 50.0}, {"worst_busy_percent": 70.001}, "warn"),
        ({"busy_percent": 50.0}, {"worst_busy_percent": 100.0}, "warn"),
        ({"steal_percent": 1.0}, {"worst_steal_percent": 5.0}, "ok"),
        ({"steal_percent": 1.0}, {"worst_steal_percent": 5.001}, "warn"),
        ({"steal_percent": 1.0}, {"worst_steal_percent": 100.0}, "warn"),
    ],
)
def test_a_bad_second_of_a_run_that_is_fine_only_warns(
    test: TestSignals, whole: dict[str, float], worst: dict[str, float], state: str
) -> None:
    figures = whole | worst
    document = (
        of_worker(test, **figures) if "busy_percent" in whole else judge(RunSignals(**figures), [test])  # type: ignore[arg-type]
    )
    ((name, value),) = whole.items()
    signal = signal_of(document, {"busy_percent": "loop_busy_percent"}.get(name, name))
    assert (signal["value"], signal["state"]) == (value, state)
    assert signal["worst_second"] == next(iter(worst.values()))
    assert ["worst second" in reason for reason in document["reasons"]] == [True] * (state == "warn")


def test_what_was_not_measured_has_no_signal() -> None:
    document = judge(RunSignals(workers=(WorkerSignals(),)), [OPEN, CLOSED])
    assert [signal["name"] for signal in document["signals"]] == ["target_on_this_machine"]
    assert (document["verdict"], document["reasons"], document["advice"]) == ("valid", [], [])


def test_a_closed_model_has_no_schedule_to_keep_and_an_open_one_no_stall_share() -> None:
    figures = {
        "p50_ms": 1.0, "lag_p99_ms": 50.0, "seconds_of_growing_lag": 9, "planned_starts": 100, "achieved_starts": 5,
        "dropped": 95, "stall_share": 0.5,
    }  # fmt: skip
    named = {
        is_open: {
            signal["name"]
            for signal in judge(RunSignals(), [replace(CLOSED, is_open=is_open, **figures)])["signals"]  # type: ignore[arg-type]
        }
        for is_open in (False, True)
    }
    everywhere = {"target_on_this_machine"}
    assert named[False] - everywhere == {"stall_share_percent"}
    assert named[True] - everywhere == {
        "schedule_lag_p99_ms", "schedule_lag_growing_s", "achieved_starts_percent", "dropped_arrivals_percent",
    }  # fmt: skip


def test_one_open_test_makes_the_limits_of_the_run_those_of_an_open_model() -> None:
    busy = RunSignals(workers=(WorkerSignals(busy_percent=80.0),))
    assert judge(busy, [CLOSED, OPEN])["verdict"] == "invalid"
    assert judge(busy, [CLOSED, CLOSED])["verdict"] == "suspect"


def test_what_is_noted_makes_no_figure_doubtful() -> None:
    document = judge(RunSignals(target_is_here=True, names_of_several=("a.example", "b.example")), [CLOSED])
    assert document["verdict"] == "valid"
    assert [signal["state"] for signal in document["signals"]] == ["noted", "noted"]
    assert document["reasons"] == [
        "the target is on this machine: generator and server take cores from each other",
        "one address was used of each name that has several: the others met no load (a.example, b.example)",
    ]
    assert document["advice"] == ["dns: {select: round_robin} loads every address of a.example, b.example"]


def test_the_verdict_is_the_worst_signal_and_the_worst_reason_stands_first() -> None:
    run = RunSignals(steal_percent=2.0, throttled_percent=3.0, target_is_here=True)
    document = judge(run, [replace(OPEN, p50_ms=10.1, lag_p99_ms=2.0)])
    assert document["verdict"] == "invalid"
    assert [reason.split(" was ")[0] for reason in document["reasons"][:3]] == [
        "the control group", "schedule lag p99", "steal",
    ]  # fmt: skip
    assert document["reasons"][3].startswith("the target is on this machine")


def test_what_touches_more_of_the_answer_is_told_first() -> None:
    run = RunSignals(
        workers=(WorkerSignals(busy_percent=99.0, longest_pass_ms=500.0, run_queue_wait_percent=50.0),),
        steal_percent=50.0,
        throttled_percent=50.0,
        supervisor_cpu_percent=90.0,
    )
    test = replace(OPEN, p50_ms=1.0, lag_p99_ms=9.0, planned_starts=1000, achieved_starts=500, dropped=100)
    reasons = judge(run, [test])["reasons"]
    assert [reason.split(" were ")[0] for reason in reasons[:2]] == [
        "dropped arrivals", "the requests started",
    ]  # fmt: skip
    assert reasons[2].startswith("schedule lag p99")
    assert reasons[-1].startswith("the supervisor")


@pytest.mark.parametrize(
    ("p50_ms", "lag_ms", "limit"),
    [
        (10.0, 1.5, "more than 1 ms, the limit where 5 % of the p50 (10 ms) is less:"),
        (10.0, 2.5, "more than 20 % of the p50 (10 ms):"),
        (20.0, 1.5, "more than 5 % of the p50 (20 ms):"),
        (5.0, 1.5, "more than 20 % of the p50 (5 ms):"),
        (0.2, 1.5, "more than 1 ms, the limit where 20 % of the p50 (0.2 ms) is less:"),
        (None, 1.5, "more than 1 ms:"),
    ],
)
def test_the_limit_of_the_lag_that_is_told_is_the_one_that_decided(
    p50_ms: float | None, lag_ms: float, limit: str
) -> None:
    (reason,) = judge(RunSignals(), [replace(OPEN, p50_ms=p50_ms, lag_p99_ms=lag_ms)])["reasons"]
    assert reason.startswith(f"schedule lag p99 was {lag_ms} ms, {limit} ")


def test_a_reason_has_value_limit_and_meaning() -> None:
    late = replace(OPEN, p50_ms=10.1, lag_p99_ms=12.3)
    meaning = "requests left late, response times contain the generator's own delay"
    assert judge(RunSignals(), [late])["reasons"] == [
        f"schedule lag p99 was 12.3 ms, more than 20 % of the p50 (10.1 ms): {meaning}"
    ]
    fast = replace(OPEN, p50_ms=0.2, lag_p99_ms=1.5)
    assert judge(RunSignals(), [fast])["reasons"] == [
        f"schedule lag p99 was 1.5 ms, more than 1 ms, the limit where 20 % of the p50 (0.2 ms) is less: {meaning}"
    ]
    both = judge(RunSignals(), [late, replace(late, key="put", lag_p99_ms=1.2)])["reasons"]
    assert [reason.partition(",")[0] for reason in both] == [
        "get: schedule lag p99 was 12.3 ms", "put: schedule lag p99 was 1.2 ms",
    ]  # fmt: skip
    assert judge(RunSignals(), [dropped(101)])["reasons"] == [
        "dropped arrivals were 0.101 % (101 of 100,000), more than 0.1 %: they found no user free and were not sent, "
        "so the figures lack what they would have met"
    ]


def test_a_value_just_beyond_its_limit_is_not_shown_as_the_limit() -> None:
    (reason,) = judge(RunSignals(supervisor_cpu_percent=50.00001), [CLOSED])["reasons"]
    assert "took 50.00001 % of a core, more than 50 %" in reason


def told(test: TestSignals, *busy: float | None, cores: int = 4, **run: Any) -> list[str]:
    workers = tuple(WorkerSignals(busy_percent=percent) for percent in busy)
    return list(judge(RunSignals(workers=workers, usable_cores=cores, **run), [test])["advice"])


def test_the_number_of_workers_that_would_do_keeps_each_below_half_of_the_time() -> None:
    assert told(OPEN, 95.0, 95.0) == ["4 workers would do: --procs 4"]
    assert told(OPEN, 99.0) == ["2 workers would do: --procs 2"]
    assert told(OPEN, 100.0, cores=1) == [
        "2 workers would do, and this machine has 1 core to use: load from one with 2, or ask for less"
    ]
    assert told(OPEN, 90.0, 5.0) == ["spread the load evenly: one worker had much more to do than the others"]


def test_lag_with_workers_that_have_time_comes_from_elsewhere() -> None:
    late = replace(OPEN, p50_ms=1.0, lag_p99_ms=9.0)
    assert told(late, 10.0) == [
        "leave this machine to the generator: its workers had time, something else held them up"
    ]
    assert told(late, None, cores=4) == ["use every core: --procs 4"]
    assert told(late, None, cores=1) == ["load from a machine with more cores, or ask for less"]


def test_each_signal_has_its_advice_and_no_sentence_stands_twice() -> None:
    tests = [replace(dropped(9_000), key=key) for key in ("get", "put")]
    assert judge(RunSignals(), tests)["advice"] == [
        "raise max_users of get, put, or find out why so many requests were under way"
    ]
    both = judge(RunSignals(usable_cores=2), [replace(OPEN, p50_ms=1.0, lag_p99_ms=9.0, key=k) for k in "ab"])
    assert len(both["reasons"]) == 2
    assert len(both["advice"]) == 1
    assert told(stalled(0.5)) == [
        "use rate: in place of parallel_users: to see stalls as those meet them who do not wait"
    ]
    assert told(CLOSED, steal_percent=2.0) == [
        "load from a machine whose cores are its own: steal cannot be put right from inside"
    ]
    assert told(CLOSED, supervisor_cpu_percent=60.0, target_is_here=True) == [
        "move the target to another machine",
        "the supervisor needs room: give it a core of its own",
    ]
    (ulimit,) = of_worker(CLOSED, descriptors_percent=100.0)["advice"]
    assert ulimit.startswith("raise ulimit -n")


def test_who_else_uses_the_cores_is_one_piece_of_advice_for_all_signals_of_it() -> None:
    waits = WorkerSignals(busy_percent=10.0, run_queue_wait_percent=20.0)
    run = RunSignals(workers=(waits,), steal_percent=9.0, target_is_here=True, usable_cores=2)
    late = replace(OPEN, p50_ms=1.0, lag_p99_ms=9.0)
    assert judge(run, [late])["advice"] == [
        "leave this machine to the generator: move the target to another one, end what else runs here (its workers "
        "had time, something else held them up); where steal stays, load from one whose cores are its own"
    ]
    assert judge(replace(run, steal_percent=None), [replace(CLOSED, stall_share=0.5)])["advice"] == [
        "use rate: in place of parallel_users: to see stalls as those meet them who do not wait",
        "leave this machine to the generator: move the target to another one, end what else runs here",
    ]


def test_to_ask_for_less_is_said_once() -> None:
    busy = RunSignals(workers=(WorkerSignals(busy_percent=95.0),), throttled_percent=9.0, usable_cores=1)
    asked = [text for text in judge(busy, [OPEN])["advice"] if "ask for less" in text]
    assert len(asked) == 1
    assert "raise the control group's CPU quota (1 core to use)" in judge(busy, [OPEN])["advice"]


def test_more_workers_than_cores_are_told_when_they_wait_for_one() -> None:
    waiting = tuple(WorkerSignals(run_queue_wait_percent=20.0) for _ in range(4))
    assert judge(RunSignals(workers=waiting, usable_cores=2), [CLOSED])["advice"] == [
        "use --procs 2: 4 workers share 2 cores"
    ]
    assert judge(RunSignals(workers=waiting, usable_cores=4), [CLOSED])["advice"] == [
        "end what else runs on this machine, or load from one that has nothing else to do"
    ]


@pytest.mark.parametrize(
    ("busy", "side"),
    [
        ((90.0, 95.0), "the generator set the rate: its workers were busy for 90 % of the time or more"),
        ((89.9, 95.0), "the generator set the rate in part: 1 of 2 workers had no time left"),
        ((40.0, 30.0), "the server set the rate: no worker was busy for more than 40 % of the time"),
        ((None, None), None),
    ],
)
def test_of_a_closed_model_at_full_throttle_it_is_said_which_side_set_the_rate(
    busy: tuple[float | None, ...], side: str | None
) -> None:
    sides = [text for text in told(replace(CLOSED, is_full_throttle=True), *busy) if "set the rate" in text]
    assert [text.partition(", so")[0] for text in sides] == ([] if side is None else [side])
    assert not [text for text in told(CLOSED, *busy) if "set the rate" in text]


def test_a_generator_at_its_limit_by_intent_is_not_told_how_many_workers_would_do() -> None:
    advice = told(replace(CLOSED, is_full_throttle=True), 95.0, 95.0)
    assert len(advice) == 1
    assert advice[0].startswith("the generator set the rate")


def test_a_rate_beyond_the_safe_one_warns_and_is_never_invalid() -> None:
    for rate, state in ((1000.0, "ok"), (1000.000_001, "warn"), (1e6, "warn")):
        test = replace(OPEN, rate_per_worker=rate, safe_rate_per_worker=1000.0)
        signal = signal_of(judge(RunSignals(), [test]), "rate_of_safe_percent")
        assert (signal["state"], signal["warn"], signal["invalid"]) == (state, 100.0, None)


@pytest.mark.parametrize("safe", [None, 0.0])
def test_without_a_safe_rate_there_is_nothing_to_compare_with(safe: float | None) -> None:
    test = replace(OPEN, rate_per_worker=5.0, safe_rate_per_worker=safe)
    assert "rate_of_safe_percent" not in {signal["name"] for signal in judge(RunSignals(), [test])["signals"]}


@pytest.mark.parametrize(
    ("needed", "is_full_throttle", "told"),
    [
        (3, False, ["3 workers would do: --procs 3"]),
        (9, False, ["use every core (--procs 4), ask for less load, or load from a larger machine"]),
        (None, False, []),
        (3, True, []),
    ],
)
def test_beyond_the_safe_rate_it_is_said_how_many_workers_would_do(
    needed: int | None, is_full_throttle: bool, told: list[str]
) -> None:
    test = replace(
        CLOSED if is_full_throttle else OPEN,
        rate_per_worker=2500.0,
        safe_rate_per_worker=1000.0,
        workers_for_a_safe_rate=needed,
        is_full_throttle=is_full_throttle,
    )
    document = judge(RunSignals(workers=(WorkerSignals(busy_percent=30.0),), usable_cores=4), [test])
    (reason,) = document["reasons"]
    assert reason.startswith(
        "the rate of a worker was 250 % of the highest that calibration found safe (2,500 of"
    )
    assert [text for text in document["advice"] if "set the rate" not in text] == told
