"""Every option has an environment twin: defaults < file < environment < option."""

import re
import subprocess
from pathlib import Path

import pytest
from perfcore_command import COMMAND, ROOT, complaint, environment, perfcore

from perfcore.cli.parser import (
    CLEAN_OPTIONS,
    RUN_OPTIONS,
    SCHEMA_OPTIONS,
    VALIDATE_OPTIONS,
    parse_command_line,
    target_options,
)
from perfcore.errors import UsageError

TOUR = "config/test_config.yaml"
# What each twin is set to, what the option then holds, and what the option given on the command line holds.
VALUES = {
    "procs": ("3", 3, "auto", "auto"),
    "env": ("staging", "staging", "live", "live"),
    "var": ("A=1\nB=2=3", [("A", "1"), ("B", "2=3")], "C=4", [("C", "4")]),
    "only": ("Get user\nCreate user", ["Get user", "Create user"], "Slow", ["Slow"]),
    "tag": ("team=a", [("team", "a")], "team=b", [("team", "b")]),
    "seed": ("7", 7, "0", 0),
    "engine": ("wire", "wire", "transfer", "transfer"),
    "no_spin": ("1", True, None, True),
    "strict": ("1", True, None, True),
    "results_dir": ("there", "there", "here", "here"),
    "samples": ("1", True, None, True),
    "samples_limit": ("1MB", 1_000_000, "5", 5),
    "json": ("yes", True, None, True),
    "dry_run": ("on", True, None, True),
    "quiet": ("TRUE", True, None, True),
    "no_color": ("true", True, None, True),
    "result": ("1", True, None, True),
    "keep": ("7", 7, "0", 0),
    "older_than": ("30d", 30 * 86400, "12h", 12 * 3600),
    "host": ("::1", "::1", "localhost", "localhost"),
    "port": ("0", 0, "80", 80),
    "unix": ("a.sock", Path("a.sock"), "b.sock", Path("b.sock")),
    "tls": ("1", True, None, True),
    "ca_out": ("ca.pem", Path("ca.pem"), "other.pem", Path("other.pem")),
    "exit_with_parent": ("1", True, None, True),
}
DEFAULTS = {"var": [], "only": [], "tag": []}
OPTIONS = [
    pytest.param(command, option, id=f"{command[0]} {option.flags[-1]}")
    for command, options in (
        (["run", TOUR], RUN_OPTIONS),
        (["validate", TOUR], VALIDATE_OPTIONS),
        (["schema"], SCHEMA_OPTIONS),
        (["clean"], CLEAN_OPTIONS),
        (["target"], target_options()),
    )
    for option in options
]


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_the_twin_stands_in_for_an_option_that_is_not_given(command, option) -> None:
    text, held, _, _ = VALUES[option.name]

    options = parse_command_line(command, {option.twin: text})

    assert getattr(options, option.name) == held


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_the_option_beats_its_twin(command, option) -> None:
    text, _, given, held = VALUES[option.name]
    flag = option.flags[-1]
    # A flag can only be set on the command line, so its twin says no here.
    environ = {option.twin: "0" if given is None else text}
    if option.name == "samples_limit":
        environ["PERFCORE_SAMPLES"] = "1"  # without samples it is refused

    options = parse_command_line([*command, flag if given is None else f"{flag}={given}"], environ)

    assert getattr(options, option.name) == held


@pytest.mark.parametrize("environ", ["unset", "empty"])
@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_without_either_the_default_holds(command, option, environ) -> None:
    options = parse_command_line(command, {option.twin: ""} if environ == "empty" else {})

    default = False if option.kind == "flag" else None
    assert getattr(options, option.name) == DEFAULTS.get(option.name, default)


@pytest.mark.parametrize(
    ("text", "held"), [("0", False), ("no", False), ("Off", False), ("false", False), (" yes ", True)]
)
def test_a_flag_says_yes_or_no(text: str, held: bool) -> None:
    assert parse_command_line([TOUR], {"PERFCORE_JSON": text}).json is held


@pytest.mark.parametrize(
    ("command", "name", "text", "reason"),
    [
        ("run", "PROCS", "many", "'many' is not a number of processes"),
        ("run", "SEED", "-1", "'-1' is not a seed"),
        ("run", "ENGINE", "wir", "'wir' is no engine; did you mean wire?"),
        ("run", "SAMPLES_LIMIT", "3zz", "'3zz' is not a size"),
        ("run", "VAR", "A", "'A' is not NAME=VALUE"),
        ("run", "TAG", "A=1\nB", "'B' is not NAME=VALUE"),
        ("run", "ENV", "K=V", "that is --var NAME=VALUE"),
        ("run", "JSON", "maybe", "'maybe' is neither yes nor no; write 1 or 0"),
        ("validate", "VAR", "A", "'A' is not NAME=VALUE"),
        ("clean", "KEEP", "-1", "'-1' is not a number of results"),
        ("clean", "OLDER_THAN", "30", "'30' is not an age"),
        ("target", "PORT", "99999", "'99999' is not a port"),
        ("target", "TLS", "2", "'2' is neither yes nor no"),
    ],
)
def test_a_bad_value_is_told_with_the_name_of_its_variable(
    command: str, name: str, text: str, reason: str
) -> None:
    twin = f"PERFCORE_{name}"
    with pytest.raises(UsageError) as caught:
        parse_command_line([command] if command in ("target", "clean") else [command, TOUR], {twin: text})

    assert str(caught.value).startswith(f"{twin}: ")
    assert reason in str(caught.value)


def test_a_process_obeys_its_environment() -> None:
    done = perfcore(TOUR, PERFCORE_DRY_RUN="1", PERFCORE_PROCS="1", PERFCORE_ONLY="get_user")

    assert (done.returncode, done.stderr) == (0, "")
    assert "1 worker\n" in done.stdout
    assert "Get user" in done.stdout
    assert "Create user" not in done.stdout


def test_a_process_obeys_the_option_before_its_environment() -> None:
    done = perfcore(TOUR, "--dry-run", "--procs", "2", PERFCORE_PROCS="1")

    assert "2 workers\n" in done.stdout


def test_a_bad_variable_is_one_line_and_exit_code_2() -> None:
    line = complaint(perfcore(TOUR, "--dry-run", PERFCORE_PROCS="0"))

    assert line == "perfcore: PERFCORE_PROCS: '0' is not a number of processes; give 1 to 1,024, or auto"


def test_a_variable_that_no_option_has_is_warned_of_in_one_line() -> None:
    done = perfcore(TOUR, "--dry-run", PERFCORE_PORCS="4", PERF_CORE="x", PERFCORE="y")

    assert done.returncode == 0
    assert done.stderr == (
        "perfcore: PERFCORE_PORCS in the environment is no option's variable and is ignored; "
        "did you mean PERFCORE_PROCS?\n"
    )


def test_the_variable_of_another_command_is_no_mistake() -> None:
    done = perfcore("validate", TOUR, PERFCORE_PORT="1", PERFCORE_PROCS="2", PERFCORE_REQUIRE_DEBIAN="1")

    assert (done.returncode, done.stderr) == (0, "")


def test_the_target_listens_where_its_environment_says() -> None:
    process = subprocess.Popen(
        [*COMMAND, "target", "--exit-with-parent"],
        cwd=ROOT,
        env=environment({"PERFCORE_PORT": "0", "PERFCORE_QUIET": "1"}),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        process.kill()
        process.wait(30)
        if process.stdout is not None:
            process.stdout.close()

    found = re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", line)
    assert found
    assert found[1] not in {"0", "8080"}
