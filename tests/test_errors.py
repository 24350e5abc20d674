"""Of several reasons to end with an error, the gravest is the exit code."""

import pytest

from perfcore.errors import PRECEDENCE, ExitCode, gravest


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ([], ExitCode.PASSED),
        ([ExitCode.PASSED], ExitCode.PASSED),
        ([ExitCode.THRESHOLD_BROKEN, ExitCode.NOT_SAVED, ExitCode.PASSED], ExitCode.NOT_SAVED),
        ([ExitCode.REGRESSION, ExitCode.INTERRUPTED, ExitCode.INCOMPLETE], ExitCode.INTERRUPTED),
        ([ExitCode.BUG], ExitCode.BUG),
        ([ExitCode.PASSED, ExitCode.WRONG_SUITE], ExitCode.WRONG_SUITE),
        ([ExitCode.BUG, ExitCode.THRESHOLD_BROKEN], ExitCode.THRESHOLD_BROKEN),
    ],
)
def test_the_first_in_the_order_of_precedence_counts(codes: list[ExitCode], code: ExitCode) -> None:
    assert gravest(codes) == gravest(reversed(codes)) == code


@pytest.mark.parametrize("code", ExitCode)
def test_no_code_alone_becomes_another(code: ExitCode) -> None:
    assert gravest([code]) == code


def test_the_order_is_that_of_the_conventions() -> None:
    assert [int(code) for code in PRECEDENCE] == [105, 107, 108, 97, 106, 96, 99, 95]
