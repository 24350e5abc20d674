import fcntl
import io
import os
import pty
import re
import struct
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from perfcore.report.summary import CLOSED_MODEL, summary_text, write_summary

from .documents import failing_test, histogram, one_test, phase, suite_result, timing

WIDTHS = (60, 80, 120, 160)


def many_tests() -> dict:
    return {
        f"checkout_of_the_very_long_named_tenant_number_{n}": failing_test() if n % 9 == 0 else one_test()
        for n in range(50)
    }


def scenario() -> dict:
    steps = {"login": one_test(), "order": one_test()}
    return one_test("Buy", 2000, steps=steps)


RESULTS = {
    "one": lambda: suite_result(),
    "no request": lambda: suite_result({"a": one_test("A", 0)}, verdict="failed"),
    "no test": lambda: suite_result({}, verdict="aborted"),
    "many": lambda: suite_result(many_tests()),
    "scenario": lambda: suite_result({"buy": scenario(), "create_order": failing_test()}),
    "wide letters": lambda: suite_result({"漢字" * 30: one_test("漢字" * 30)}),
}


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def row_of(text: str, name: str) -> str:
    """That row of the table of response times."""
    return line_of(text[text.index("response time  ") : text.index("on the wire")], name)


def columns_of(text: str) -> list[str]:
    return line_of(text, "response time").split()[2:]


@pytest.mark.parametrize("kind", RESULTS)
@pytest.mark.parametrize("width", WIDTHS)
def test_no_line_is_wider_than_the_terminal(kind, width):
    lines = summary_text(RESULTS[kind](), width=width).splitlines()
    assert [line for line in lines if cell_len(line) > width] == []


@pytest.mark.parametrize("kind", RESULTS)
def test_colour_changes_nothing_but_the_colour(kind):
    plain, coloured = (summary_text(RESULTS[kind](), width=100, color=color) for color in (False, True))
    assert "\x1b" not in plain
    assert re.sub(r"\x1b\[[\d;]+m", "", coloured) == plain


def test_the_sections_come_in_the_order_of_the_conventions():
    result = suite_result(
        {"create_order": failing_test()},
        Path("/r/2026-11-22T10-00-00Z"),
        verdict="failed",
        incidents=["worker 1 was killed by signal 9 at 3.2 s"],
        thresholds=[{"metric": "p95 < 250ms", "test": None, "value": 261.2, "unit": "ms", "passed": False}],
    )
    text = summary_text(result)
    places = [
        text.index(part)
        for part in (
            "API Performance Test Suite",
            "FAILED  1 threshold broken",
            "✗ p95 < 250ms",
            "1,000 requests · 990 successful (99 %) · 10 failed",
            "response time",
            "on the wire",
            "Status codes",
            "Failures",
            "Distribution of response times",
            "Validity",
            "Incidents",
            "Result  /r/2026-11-22T10-00-00Z/results.json",
        )
    ]
    assert places == sorted(places)


def test_a_row_holds_the_figures_of_the_document():
    figures = timing([]) | {"count": 20_000, "min_ms": 1.234, "avg_ms": 5.678, "max_ms": 99.9}
    figures["percentiles"] = {"p50": 5.0, "p90": 7.0, "p95": 8.0, "p99": 9.5, "p99_9": 20.25}
    figures["confidence"] = {}
    test = one_test(timing=figures, service_time=figures, total_requests=20_000, requests_per_second=1666.7)
    row = row_of(summary_text(suite_result({"get_user": test})), "get_user").split()
    assert " ".join(row) == (
        "get_user 20,000 0 1,667/s 1.23ms 5.68ms 5.00ms 7.00ms 8.00ms 9.50ms 20.2ms 99.9ms"
    )


def test_on_narrow_terminals_p90_then_min_then_p99_9_go_first():
    dropped = []
    for width in range(160, 60, -1):
        columns = columns_of(
            summary_text(suite_result({"get_user_profile_of_tenant": scenario()}), width=width)
        )
        dropped += [name for name in ("p90", "min", "p99.9") if name not in columns and name not in dropped]
    assert dropped == ["p90", "min", "p99.9"]
    assert columns[-3:] == ["p50", "p99", "max"]


def test_further_percentiles_have_columns_in_their_order():
    figures = timing([1.0] * 20)
    figures["percentiles"] |= {"p75": 1.0, "p99_99": None}
    text = summary_text(suite_result({"a": one_test(timing=figures)}))
    assert columns_of(text)[5:] == ["p50", "p75", "p90", "p95", "p99", "p99.9", "p99.99", "max"]


def test_ranks_among_requests_that_were_given_up_are_lower_bounds():
    text = summary_text(suite_result({"create_order": failing_test()}))
    row = row_of(text, "create_order")
    assert row.endswith("≥ 30.0s")
    assert re.search(r"≥ \d+ms", row)  # the average
    assert "≥ requests were given up at their time limit" in text


def test_a_censored_percentile_is_marked_and_an_unknown_one_is_a_dash():
    figures = timing([20.0] * 2000, censored=100, censored_percentiles=["p99"])
    figures["percentiles"]["p99"] = 30_000.0
    row = row_of(summary_text(suite_result({"a": one_test(timing=figures, service_time=figures)})), "a ")
    assert re.search(r"20\.0ms +≥ 30\.0s +– +≥ 20\.0ms$", row)


@pytest.mark.parametrize(("count", "marked"), [(999, True), (1000, False)])
def test_a_p99_of_fewer_than_ten_exceedances_is_marked(count, marked):
    figures = timing([5.0] * count, count=count) | {"confidence": {}}
    text = summary_text(suite_result({"a": one_test(timing=figures, service_time=figures)}))
    assert ("~5.00ms" in text) == marked
    assert ("~ too few samples" in text) == marked


def test_service_time_is_shown_where_it_differs_by_more_than_a_twentieth():
    def shown(factor: float) -> bool:
        times = [20.0] * 2000
        test = one_test(timing=timing(times), service_time=timing([time * factor for time in times]))
        return "service time" in summary_text(suite_result({"a": test}))

    assert shown(0.9)
    assert not shown(0.96)


def test_times_on_reused_connections_are_shown_where_new_ones_were_half_a_percent():
    def shown(connections: int) -> bool:
        test = one_test(connections_opened=connections, timing_reused=timing([3.0] * 990, count=990))
        return "reused connections" in summary_text(suite_result({"a": test}))

    assert shown(5)
    assert not shown(4)


def test_steps_have_rows_below_their_test():
    text = summary_text(suite_result({"buy": scenario()}))
    table = text[text.index("response time  ") : text.index("on the wire")].strip().splitlines()
    assert [re.split("  +", line.strip())[0] for line in table[1:]] == [
        "buy",
        "95 % within",
        "step login",
        "step order",
        "whole iteration",
    ]


def test_failures_of_the_connection_and_of_the_answer_are_counted_apart():
    text = summary_text(suite_result({"create_order": failing_test()}))
    assert "10 failed (5 without a whole answer, 5 not as expected)" in text
    failures = text[text.index("Failures") : text.index("Distribution")]
    assert re.sub(" +", " ", failures).splitlines() == [
        "Failures",
        " no whole answer (connection): 5",
        " 3 timeout create_order at 31.1s POST https://api.example.com/orders",
        " 2 refused create_order",
        " answer not as expected: 5",
        " 5 expectation:status create_order status 503, expected 2xx at 3.2s"
        ' POST https://api.example.com/orders → 503 {"error": "overloaded"}',
        "",
    ]


def test_status_codes_and_missing_answers_add_up_to_the_requests():
    text = summary_text(suite_result({"create_order": failing_test()}))
    assert "create_order  200 × 990   503 × 5   no whole answer × 5" in text


def failure_of(detail: str, request: str, at_s: float, width: int) -> str:
    sample = {"at_s": at_s, "request": request, "status": 503, "detail": detail, "body": "b" * 100}
    test = failing_test() | {"failures": [{"kind": "timeout", "count": 3, "samples": [sample]}]}
    return line_of(summary_text(suite_result({"create_order": test}), width=width), "3  timeout")


@pytest.mark.parametrize("width", [100, 160])
def test_the_cause_of_a_failure_is_shown_before_its_request_however_long_that_is(width):
    line = failure_of("no byte for 30s", "GET https://api.example.com/" + "x" * 500, 1.0, width)
    assert re.search(r"create_order +no byte for 30s  at 1s  GET https://api.\S+…x+", line)
    assert "→ 503  bbb" in line or width == 100


@pytest.mark.parametrize(
    ("at_s", "told"),
    [(0.0171, "17ms"), (0.00042, "420µs"), (0.0, "0s"), (0.9996, "1s"), (1.06, "1.1s"), (-0.5, "0s")],
)
def test_a_failure_early_in_the_run_says_when(at_s, told):
    assert f"  at {told}  GET /" in failure_of("", "GET /", at_s, 160)


def test_every_test_has_its_status_codes():
    text = summary_text(suite_result(many_tests()))
    section = text[text.index("Status codes") : text.index("Failures")].strip().splitlines()[1:]
    assert len(section) == 50
    assert sum("503 × 5   no whole answer × 5" in line for line in section) == 6


def test_a_failure_among_millions_is_not_rounded_away():
    test = one_test(total_requests=10**8, successful_requests=10**8 - 1, failed_requests=1)
    assert "99,999,999 successful (> 99.99 %) · 1 failed" in summary_text(suite_result({"a": test}))


def test_attempts_retries_and_resends_are_told_where_there_were_any():
    plain = summary_text(suite_result())
    assert not re.search("attempts|retried|sent again", plain)
    two = {"a": one_test("A", attempts=1500), "b": one_test("B", attempts=1003, retried_requests=2)}
    text = summary_text(suite_result(two))
    assert "2,503 attempts · 2 retried" in text
    assert "sent again" not in text
    resent = summary_text(suite_result({"a": one_test("A", attempts=1001, resent_requests=1)}))
    assert "1,001 attempts · 1 sent again by libcurl on a dead connection" in resent
    # Requests that were never sent leave fewer attempts than requests: the failures tell of them.
    unsent = one_test("A", attempts=0, successful_requests=0, failed_requests=1000, retried_requests=1000)
    line = line_of(summary_text(suite_result({"a": unsent})), "1,000 retried")
    assert "attempts" not in line


def test_phases_without_a_measurement_have_no_column():
    text = summary_text(suite_result())
    assert line_of(text, "on the wire").split()[-6:] == ["connect", "avg", "ttfb", "avg", "transfer", "avg"]
    without = one_test(phases={name: phase(1, 0) for name in ("dns", "connect", "tls", "ttfb", "transfer")})
    assert "ttfb" not in summary_text(suite_result({"a": without}))


def test_the_bars_hold_every_request():
    text = summary_text(suite_result({"a": one_test(histogram=histogram([12.0] * 30 + [400.0] * 4))}))
    section = text[text.index("Distribution") : text.index("Validity")]
    counts = [int(count) for count in re.findall(r" – \S+ +(\d+)", section)]
    assert sum(counts) == 34
    assert counts[0] == 30
    assert counts[-1] == 4


def test_the_closed_model_is_told_once_and_only_where_there_is_one():
    assert summary_text(suite_result(many_tests())).count(CLOSED_MODEL) == 1
    opened = one_test(load={"model": "open", "rate": 500.0, "duration_s": 30})
    text = summary_text(suite_result({"a": opened}))
    assert CLOSED_MODEL not in text
    assert "500/s for 30s, open model" in text


@pytest.mark.parametrize(
    ("load", "told"),
    [
        ({"users": 10, "iterations": 100}, "10 users × 100 iterations"),
        ({"users": 1, "iterations": 1}, "1 user × 1 iteration"),
        ({"users": 10, "total_iterations": 1000}, "10 users, 1,000 iterations in all"),
        ({"users": 10, "duration_s": 90.0, "ramp_up_s": 5}, "10 users for 1m30s, ramp-up 5s"),
        ({"users": 10, "iterations": 5, "duration_s": 90.0}, "10 users × 5 iterations, at most 1m30s"),
        (None, "10 users"),
    ],
)
def test_what_a_test_was_told_to_do_is_said(load, told):
    text = summary_text(suite_result({"get_user_profile": one_test(load=load)}))
    assert line_of(text, "get_user_profile  GET").endswith(f" · {told} · libcurl transfers")


WARM_UP = {"kind": "fixed", "until_s": 5.0, "requests": 10, "failed": 0, "attempts": 10}
UNTIL = {"metric": "p99_9", "precision": 0.05, "reached": False, "after_s": None, "looks": 3, "level": 0.98}
TRACED = {
    "at_s": 1.5,
    "ms": 812.25,
    "user": 3,
    "step": None,
    "status": 200,
    "trace_id": "0af7651916cd43dd" * 2,
}
OPEN = {"model": "open", "rate": 500.0, "duration_s": 30.0, "arrival": "poisson"}


def settings_line(load=None, *, spin=True, **other):
    """The line below that of the test, empty where it has none."""
    test = one_test(**({} if load is None else {"load": load}), **other)
    lines = summary_text(suite_result({"get_user_profile": test}, spin=spin)).splitlines()
    at = next(at for at, line in enumerate(lines) if line.startswith("  get_user_profile"))
    return lines[at + 1].strip() if lines[at + 1].startswith(" " * 20) else ""


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({}, ""),
        ({"warmup": None, "until": None}, ""),
        ({"warmup": WARM_UP}, "warm-up 5s"),
        ({"warmup": WARM_UP | {"kind": "auto", "until_s": 7.0}}, "warm-up auto"),
        ({"until": UNTIL}, "until p99.9 is known to 5 %"),
        ({"slowest": [TRACED]}, "trace w3c"),
        ({"slowest": [TRACED | {"trace_id": None}]}, ""),
        ({"load": OPEN | {"max_users": 5000}}, ""),  # rate × 10 s, as without the key
        ({"load": OPEN | {"max_users": 200}}, "at most 200 users"),
        ({"load": OPEN | {"rate": 1.0, "max_users": 100}}, ""),
        ({"load": {"model": "open", "stages": [{"duration_s": 9, "rate": 500}], "max_users": 5000}}, ""),
        ({"load": OPEN | {"max_users": 1}, "spin": False}, "at most 1 user · --no-spin"),
        ({"spin": False}, ""),  # nobody waits for arrivals in a closed model
    ],
)
def test_what_else_was_set_is_said_below_the_load(keys, told):
    assert settings_line(**keys) == told


def test_a_settings_line_is_as_wide_as_the_terminal_at_most():
    load = OPEN | {"max_users": 200}
    test = one_test(load=load, warmup=WARM_UP, until=UNTIL, slowest=[TRACED])
    for width in WIDTHS:
        lines = summary_text(suite_result({"a": test}, spin=False), width=width).splitlines()
        assert max(cell_len(line) for line in lines) <= width
        assert any("warm-up 5s · until p99.9 is known" in line for line in lines)


def test_the_three_slowest_requests_of_a_traced_test_are_shown_with_their_ids():
    slowest = [TRACED | {"ms": 900.0 - at, "at_s": float(at), "trace_id": f"{at:032x}"} for at in range(10)]
    slowest[1]["status"] = None
    tests = {"a": one_test("A", slowest=slowest), "b": one_test("B", slowest=[TRACED | {"trace_id": None}])}
    text = summary_text(suite_result(tests))
    section = text[text.index("Slowest requests") : text.index("Validity")].split("\n")
    assert [line.split() for line in section[1:-2]] == [
        ["test", "response", "time", "ended", "at", "status", "trace", "id"],
        ["a", "900ms", "0s", "200", f"{0:032x}"],
        ["a", "899ms", "1s", "none", f"{1:032x}"],
        ["a", "898ms", "2s", "200", f"{2:032x}"],
    ]
    narrow = summary_text(suite_result({"a": one_test("A", slowest=slowest)}), width=60)
    assert f"{2:032x}" in narrow, "it is there to be copied"


def test_the_steps_of_slow_requests_are_shown_where_there_are_steps():
    text = summary_text(suite_result({"a": one_test("A", slowest=[TRACED | {"step": "login"}])}))
    assert text[text.index("Slowest") :].split("\n")[2].split() == [
        "a", "812ms", "1.5s", "200", "login", TRACED["trace_id"],
    ]  # fmt: skip


def test_without_trace_the_slowest_stay_in_the_result():
    test = one_test(slowest=[TRACED | {"trace_id": None}])
    assert "Slowest" not in summary_text(suite_result({"a": test}))


@pytest.mark.parametrize(
    ("checks", "told"),
    [
        ({}, None),
        ({"status 2xx": {"passed": 9, "failed": 1}}, None),
        ({"status 201": {"passed": 9, "failed": 1}}, "9 of 10 checks held"),
        (
            {"status 2xx": {"passed": 10, "failed": 0}, "json $.id": {"passed": 8, "failed": 2}},
            "18 of 20 checks held",
        ),
    ],
)
def test_checks_are_counted_where_a_test_has_any_of_its_own(checks, told):
    plain = one_test("B", checks={"status 2xx": {"passed": 1000, "failed": 0}})
    text = summary_text(suite_result({"a": one_test("A", checks=checks), "b": plain}))
    assert ("checks held" in text) == (told is not None)
    assert told is None or f"  {told}\n" in text


def test_what_carried_a_test_is_said():
    text = summary_text(suite_result({"get_user_profile": one_test(engine="wire")}))
    assert line_of(text, "get_user_profile  GET").endswith(" · wire path")


def test_a_document_of_only_the_required_keys_is_shown():
    keys = ("name", "total_requests", "successful_requests", "failed_requests", "timing")
    bare = {key: value for key, value in one_test().items() if key in keys}
    result = suite_result({"a": bare})
    for key in set(result.document) - {"test_suite", "results", "verdict"}:
        del result.document[key]
    assert "PASSED" in summary_text(result)


def test_a_test_without_one_success_is_named():
    dead = one_test("A", 5, successful_requests=0, failed_requests=5)
    assert "FAILED  not one successful request in a" in summary_text(
        suite_result({"a": dead}, verdict="failed")
    )


def test_what_a_server_or_a_name_says_cannot_command_the_terminal():
    evil = "[bold]x[/] \x1b]0;owned\x07\x1b[2J\r\u202e"
    test = failing_test() | {"name": evil, "request": evil, "status_codes": {evil: 990, "503": 5}}
    test["errors"] |= {f"extract:{evil}": 1}
    test["failures"][0]["samples"][0] |= {"request": evil, "body": evil, "detail": evil}
    result = suite_result(
        {evil: test},
        Path(evil),
        test_suite=evil,
        incidents=[evil],
        base_url=evil,
        tags={evil: evil},
        timestamp=evil,
        verdict="failed",
        thresholds=[{"metric": evil, "test": evil, "value": 1.0, "unit": evil, "passed": False}],
        validity={"verdict": evil, "reasons": [evil], "advice": [evil]},
    )
    result.document.environment |= {"hostname": evil, "cpu_model": evil}
    for width in WIDTHS:
        text = summary_text(result, width=width)
        assert all(line.isprintable() for line in text.splitlines())
    assert "[bold]x[/]" in text


def test_the_path_of_the_result_is_whole_and_short_where_it_can_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    below = suite_result(results_dir=tmp_path / "results" / "2026-11-22T10-00-00Z")
    assert summary_text(below).endswith("Result  results/2026-11-22T10-00-00Z/results.json\n")
    far = Path("/") / ("d" * 120) / "2026-11-22T10-00-00Z"
    assert f"Result  {far}/results.json" in summary_text(suite_result(results_dir=far), width=60)


def test_a_result_that_was_not_saved_says_so():
    assert summary_text(suite_result()).endswith("The result was not saved.\n")


def test_a_stream_that_knows_ascii_alone_gets_ascii():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    write_summary(suite_result({"create_order": failing_test()}), stream)
    text = raw.getvalue().decode("ascii")
    assert "> 30.0s" in text
    assert "200 x 990" in text


def test_the_width_is_that_of_the_terminal_and_nothing_is_cut_without_one():
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 90, 0, 0))
    with os.fdopen(terminal, "w", encoding="utf-8") as stream, os.fdopen(main, "rb", buffering=0) as reader:
        write_summary(suite_result(), stream)
        shown = reader.read(100_000).decode("utf-8", "ignore").replace("\r\n", "\n")
    assert summary_text(suite_result(), width=90).startswith(shown)
    assert len(shown) > 500
    to_file = io.StringIO()
    write_summary(suite_result(), to_file)
    assert to_file.getvalue() == summary_text(suite_result())


def test_a_file_has_the_whole_failure_and_every_name_however_long():
    request, detail, key = f"GET http://h/{'x' * 500}", "cause " + "y" * 300, "k" * 200
    sample = {"at_s": 1.0, "request": request, "status": 503, "detail": detail, "body": "b" * 300 + " end"}
    test = failing_test() | {"failures": [{"kind": "timeout", "count": 3, "samples": [sample]}]}
    to_file = io.StringIO()
    write_summary(suite_result({key: test}), to_file)
    line = line_of(to_file.getvalue(), "3  timeout")
    assert line.endswith(f"  {key}  {detail}  at 1s  {request} → 503  {sample['body']}")
    assert line_of(to_file.getvalue(), f"{key}  200 × 990")
    assert "…" in summary_text(suite_result({key: test}), width=160)


def test_a_reader_that_went_away_is_the_callers_to_judge():
    reader, writer = os.pipe()
    os.close(reader)
    stream = os.fdopen(writer, "w", encoding="utf-8")
    with pytest.raises(BrokenPipeError):
        write_summary(suite_result(), stream)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_a_run_that_a_limit_ended_says_which() -> None:
    reasons = [
        "aborted: 73.2 % of the last 1,204 requests failed (limits.abort_on_error_rate: 50 %)",
        "ended by limits.max_duration (10m)",
    ]
    for reason in reasons:
        document = suite_result({}, verdict="aborted", incidents=["worker 1 is gone", reason])
        assert f"ABORTED  {reason.removeprefix('aborted: ')}" in summary_text(document, width=120)


@pytest.mark.parametrize(
    ("quota", "cores", "said"),
    [
        (0.5, 1, "the control group grants 0.5 CPUs"),
        (2.5, 2, "the control group grants 2.5 CPUs"),
        (2.0, 2, None),
        (64.0, 8, None),  # more than the machine has
        (None, 8, None),
    ],
)
def test_a_part_of_a_core_is_said_beside_the_cores(quota, cores, said) -> None:
    environment = {"workers": cores, "cpu_cores": cores, "cpu_model": "AMD EPYC", "cpu_quota": quota}
    text = summary_text(suite_result(environment=environment), width=120)
    if said is None:
        assert "control group" not in text
    else:
        assert f"{cores} × AMD EPYC · {said}" in text


def test_a_run_that_was_held_to_a_rate_says_so() -> None:
    text = summary_text(suite_result(limits={"max_rate_per_s": 500.0}), width=120)
    assert "held to 500 requests/s over all tests by limits.max_rate" in text
    assert "held to" not in summary_text(suite_result(limits={}), width=120)
