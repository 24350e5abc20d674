"""Slips of a caller from Python: each is one UsageError that names its argument."""

from collections import UserDict
from pathlib import Path

import pytest

from perfcore.engine.runner_arguments import check_run_arguments, check_runner_arguments
from perfcore.errors import ExitCode, PerfcoreError, UsageError
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

RIGHT = {
    "procs": "auto",
    "results_dir": "results",
    "seed": None,
    "samples": False,
    "samples_limit": 2**31,
    "on_progress": None,
    "command_line": (),
    "own_process": False,
    "engine": "auto",
    "spin": True,
    "strict": False,
}
CASE = TestCase(name="A", endpoint="http://h/")
SUITE = TestSuite(name="S", tests=[CASE])


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"procs": 1},
        {"procs": 1024, "seed": 0, "samples": True, "samples_limit": 0},
        {"results_dir": None},
        {"results_dir": Path("there"), "seed": 2**63 - 1, "own_process": True},
        {"on_progress": print, "command_line": ["perfcore", "suite.yaml"]},
    ],
)
def test_right_arguments_are_taken(given):
    check_runner_arguments(**{**RIGHT, **given})


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("procs", [0, -1, 1025, 10**5000, True, 1.0, "4", "Auto", None, [], b"auto"]),
        ("results_dir", [5, "", b"results", ["results"], True, "a\0b"]),
        ("seed", [-1, 2**63, 10**5000, 1.5, True, "7", []]),
        ("samples", [1, "yes", None, []]),
        ("samples_limit", [-1, 1.5, "2GiB", None, True, 10**5000]),
        ("on_progress", [5, "print", [print], True]),
        ("command_line", [5, "perfcore suite.yaml", None, [5], {"a": 1}, True]),
        ("own_process", [1, "yes", None]),
        ("spin", [1, "no", None]),
        ("strict", [1, "yes", None]),
        ("engine", ["curl", "", "Wire", None, 1, True]),
    ],
)
def test_a_wrong_argument_is_told_by_its_name(argument, values):
    for value in values:
        with pytest.raises(UsageError) as caught:
            check_runner_arguments(**{**RIGHT, argument: value})
        assert str(caught.value).startswith(f"{argument}: "), value
        assert len(str(caught.value)) < 200
        assert isinstance(caught.value, ValueError | PerfcoreError)
        assert caught.value.exit_code == ExitCode.WRONG_COMMAND_LINE


def test_samples_need_a_place():
    with pytest.raises(UsageError, match="samples need a results_dir"):
        check_runner_arguments(**{**RIGHT, "samples": True, "results_dir": None})


@pytest.mark.parametrize(
    ("what", "env", "variables"),
    [
        (CASE, None, None),
        (SUITE, None, {}),
        ("suite.yaml", "staging", {"A": "1"}),
        (Path("suite.yaml"), None, UserDict({"A.b-c": ""})),
        ("-", None, None),
    ],
)
def test_a_case_a_suite_and_a_path_can_be_run(what, env, variables):
    check_run_arguments(what, env, variables)


@pytest.mark.parametrize(
    ("what", "env", "variables", "told"),
    [
        (None, None, None, "null cannot be run; give a TestCase"),
        (42, None, None, "42 cannot be run"),
        (b"suite.yaml", None, None, "cannot be run"),
        ([CASE], None, None, "a list cannot be run"),
        (TestCase, None, None, "cannot be run"),
        ("", None, None, "source: '' is not the path of a suite file"),
        (CASE, "staging", None, "env: only a suite file has environments, and this is a TestCase"),
        (SUITE, "", None, "env: only a suite file has environments, and this is a TestSuite"),
        (CASE, None, {"A": "1"}, "variables: only a suite file takes them here"),
        ("s.yaml", 5, None, "env: 5 is not the name of an environment"),
        ("s.yaml", None, ["A"], "variables: a list is not a mapping of names to texts"),
        ("s.yaml", None, "A=1", "variables: 'A=1' is not a mapping"),
        ("s.yaml", None, {1: "2"}, "variables: the name 1 is not text"),
        ("s.yaml", None, {"A": 2}, "variables: the value of 'A' is of type int, not text"),
        ("s.yaml", None, {"A": None}, "variables: the value of 'A' is None, not text"),
        ("s.yaml", None, {"a b": "c"}, "variables: 'a b' is no name; a name has letters"),
        ("s.yaml", None, {"": "c"}, "variables: '' is no name"),
    ],
)
def test_what_cannot_be_run_is_told(what, env, variables, told):
    with pytest.raises(UsageError) as caught:
        check_run_arguments(what, env, variables)
    assert told in str(caught.value)


def test_the_value_of_a_variable_is_never_told():
    with pytest.raises(UsageError) as caught:
        check_run_arguments("s.yaml", None, {"TOKEN": 8675309})
    assert "8675309" not in str(caught.value)
