"""What the loop makes of an answer: the expectation that it breaks, or none."""

import pytest

from engine.fake_run import Run, load_of
from engine.fake_transport import MS, Answer
from perfcore.metrics.outcomes import CODE
from perfcore.suite.expectation import Expectation


@pytest.mark.parametrize("status", ["2xx", 200, [200, 404], "2xx-3xx", "5xx"])
def test_the_status_table_agrees_with_the_expectation(status: object) -> None:
    expectation = Expectation(status=status)
    codes = list(range(100, 600))
    run = Run(
        [load_of(parallel_users=len(codes), expect={"status": status})],
        answer=lambda exchange: Answer(status=codes[exchange.user - 1]),
    )
    judged = {row.status: row.error for row in run.rows}
    assert judged == {
        code: CODE["expectation:status"] if expectation.first_broken(code, {}, b"", 0.0) else 0
        for code in codes
    }
    assert len(run.failures) == sum(error != 0 for error in judged.values())


def test_a_status_is_judged_the_same_with_and_without_further_expectations() -> None:
    def errors(**expect: object) -> list[int]:
        run = Run(
            [load_of(parallel_users=900, expect=expect)],
            answer=lambda exchange: Answer(status=exchange.user + 99),
        )
        return [row.error for row in sorted(run.rows, key=lambda row: row.user)]

    assert errors() == errors(max_time="1h")


@pytest.mark.parametrize(
    ("expect", "answer", "kind"),
    [
        ({"body_contains": "ok"}, Answer(body=b"all ok"), ""),
        ({"body_contains": "ok"}, Answer(body=b"no"), "expectation:body"),
        ({"header": {"X-A": "1"}}, Answer(headers={"x-a": "21"}), ""),
        ({"header": {"X-A": "1"}}, Answer(headers={}), "expectation:header"),
        ({"json": {"$.a": 1}}, Answer(body=b'{"a": 1}'), ""),
        ({"json": {"$.a": 1}}, Answer(body=b'{"a": 2}'), "expectation:json"),
        ({"body_contains": "ok"}, Answer(body=b"no", status=500), "expectation:status"),
        ({"max_time": "20ms"}, Answer(after_ns=20 * MS), ""),
        ({"max_time": "20ms"}, Answer(after_ns=21 * MS), "expectation:max_time"),
        ({"body_contains": "ok"}, Answer(error=CODE["reset"], status=0), "reset"),
    ],
)
def test_an_answer_is_judged_by_what_was_asked(expect: dict[str, object], answer: Answer, kind: str) -> None:
    run = Run([load_of(expect=expect)], answer=lambda _: answer)
    assert run.rows[0].error == CODE[kind]
    assert len(run.failures) == bool(kind)


def test_max_time_is_measured_from_the_due_instant() -> None:
    # Service takes 10 ms of each, but the fifth user waits 8 ms for the loop.
    run = Run(
        [load_of(parallel_users=5, expect={"max_time": "15ms"})],
        start_takes_ns=2 * MS,
    )
    assert {row.user for row in run.rows if row.error} == {4, 5}


def test_a_failure_lets_the_user_go_on() -> None:
    run = Run([load_of(iterations=3)], answer=lambda _: Answer(error=CODE["refused"], status=0))
    assert [row.error for row in run.rows] == [CODE["refused"]] * 3
