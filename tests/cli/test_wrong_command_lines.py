"""Every wrong combination of options is one line and exit code 2: a table over all options of all commands.

Read in this process, where the line is the text of one UsageError; that `perfcore` prints it and how it ends is
told by test_command_line.py.
"""

import os
import socket
import subprocess
from pathlib import Path

import pytest
from perfcore_command import COMMAND, ROOT, complaint, environment, perfcore

from perfcore.cli import option_values
from perfcore.cli.parser import (
    CALIBRATE_OPTIONS,
    CLEAN_OPTIONS,
    RUN_OPTIONS,
    SCHEMA_OPTIONS,
    VALIDATE_OPTIONS,
    Option,
    parse_command_line,
    target_options,
)
from perfcore.engine import runner_arguments
from perfcore.errors import ExitCode, UsageError

SUITE = "suite.yaml"
COMMANDS = {
    "run": ([SUITE], RUN_OPTIONS),
    "validate": ([SUITE], VALIDATE_OPTIONS),
    "schema": ([], SCHEMA_OPTIONS),
    "clean": ([], CLEAN_OPTIONS),
    "calibrate": ([], CALIBRATE_OPTIONS),
    "target": ([], target_options()),
}
EVERY_OPTION = [
    pytest.param(command, option, id=f"{command} {option.flags[-1]}")
    for command, (_, options) in COMMANDS.items()
    for option in options
]
TAKING_A_VALUE = [param for param in EVERY_OPTION if param.values[1].kind != "flag"]
ONCE = [param for param in EVERY_OPTION if param.values[1].kind == "value"]
FLAGS = [param for param in EVERY_OPTION if param.values[1].kind == "flag"]
RIGHT = {
    "procs": "2",
    "env": "staging",
    "seed": "1",
    "engine": "wire",
    "seconds": "2.5",
    "results_dir": "there",
    "samples_limit": "1MB",
    "keep": "3",
    "older_than": "30d",
    "host": "localhost",
    "port": "80",
    "unix": "socket",
    "ca_out": "ca.pem",
}
# Of options that take not just any text.
WRONG = {
    "procs": ["0", "-1", "1025", "9" * 6000, "1.5", "٣", "２", "auto ", "1e3", "0x2", "1_0", "half"],
    "engine": ["curl", "Wire", "wire ", "auto,wire", "x" * 6000],
    "seed": ["-1", "1.5", "9" * 6000, str(2**63), "１", "x", "1_000", " 1"],
    "samples_limit": ["-1", "9" * 6000, "3zz", "１MB", "MB", "1e9", "nan", "9" * 20 + "TiB"],
    "env": ["A=B"],
    "var": ["A", "=", "=x"],
    "tag": ["A", "=", "=x"],
    "keep": ["-1", "x", "9" * 6000, "１", "1.5"],
    "older_than": ["30", "x", "-1d", "d", "9" * 6000, "１d"],
    "seconds": ["0", "0.1", "-1", "601", "1d", "x", "nan", "inf", "9" * 6000, "１"],
    "port": ["-1", "65536", "x", "9" * 6000, "１", "0x50"],
}


def refused(arguments: list[str], environ: dict[str, str] | None = None) -> str:
    with pytest.raises(UsageError) as caught:
        parse_command_line(arguments, environ or {})
    line = str(caught.value)
    assert caught.value.exit_code == ExitCode.WRONG_COMMAND_LINE == 2
    assert "\n" not in line
    assert len(line) < 500
    return line


def line_of(command: str, *options: str) -> list[str]:
    return [command, *COMMANDS[command][0], *options]


@pytest.mark.parametrize(("command", "option"), TAKING_A_VALUE)
def test_an_option_without_its_value_is_told(command: str, option: Option) -> None:
    flag = option.flags[-1]

    assert f"argument {flag}: expected one argument" in refused(line_of(command, flag))
    assert f"argument {flag}: expected one argument" in refused(line_of(command, flag, "--quiet"))


@pytest.mark.parametrize(("command", "option"), TAKING_A_VALUE)
def test_an_empty_value_is_told(command: str, option: Option) -> None:
    flag = option.flags[-1]

    assert f"argument {flag}: is empty" in refused(line_of(command, flag, ""))
    assert f"argument {flag}: is empty" in refused(line_of(command, f"{flag}="))


@pytest.mark.parametrize(("command", "option"), ONCE)
def test_an_option_that_is_given_twice_is_told(command: str, option: Option) -> None:
    flag, value = option.flags[-1], RIGHT[option.name]

    told = refused(line_of(command, flag, value, f"{flag}={value}"))

    assert f"argument {flag}: is given twice; give it once" in told


@pytest.mark.parametrize(("command", "option"), FLAGS)
def test_a_flag_that_is_given_a_value_is_told(command: str, option: Option) -> None:
    flag = option.flags[-1]

    assert f"argument {flag}: ignored explicit argument 'yes'" in refused(line_of(command, f"{flag}=yes"))


@pytest.mark.parametrize(("command", "option"), FLAGS)
@pytest.mark.parametrize("text", ["maybe", "2", "-1", "x" * 5000])
def test_the_twin_of_a_flag_that_says_neither_yes_nor_no_is_told(
    command: str, option: Option, text: str
) -> None:
    told = refused(line_of(command), {option.twin: text})

    assert told.startswith(f"{option.twin}: ")
    assert told.endswith("is neither yes nor no; write 1 or 0")


def test_every_option_that_takes_not_just_any_text_is_in_the_table() -> None:
    takes_any = {param.values[1].name for param in TAKING_A_VALUE if param.values[1].parse in (str, Path)}

    assert {param.values[1].name for param in TAKING_A_VALUE} - takes_any == set(WRONG)


@pytest.mark.parametrize(
    ("command", "option"), [param for param in TAKING_A_VALUE if param.values[1].name in WRONG]
)
def test_a_wrong_value_is_told_with_the_name_of_its_option_or_twin(command: str, option: Option) -> None:
    for value in WRONG[option.name]:
        told = refused(line_of(command, f"{option.flags[-1]}={value}"))
        assert told.startswith(f"argument {option.flags[-1]}: "), value
        assert "invalid _" not in told, value

        told = refused(line_of(command), {option.twin: value})
        assert told.startswith(f"{option.twin}: "), value


@pytest.mark.parametrize(("command", "option"), EVERY_OPTION)
def test_a_slip_in_the_name_of_an_option_is_answered_with_the_right_name(
    command: str, option: Option
) -> None:
    flag = option.flags[-1]
    slip = f"{flag[:-1]}{flag[-1]}{flag[-1]}"

    assert f"unrecognized arguments: {slip}; did you mean {flag}?" in refused(line_of(command, slip))


@pytest.mark.parametrize(("command", "option"), EVERY_OPTION)
def test_no_option_may_be_shortened(command: str, option: Option) -> None:
    shortened = option.flags[-1][:-1]

    assert f"unrecognized arguments: {shortened}" in refused(line_of(command, shortened))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["validate", SUITE, "--procs", "2"], "--procs 2; that is an option of perfcore run"),
        (["schema", "--port", "80"], "--port 80; that is an option of perfcore target"),
        ([SUITE, "--older-than=3d"], "--older-than=…; that is an option of perfcore clean"),
        (["clean", "--quiet"], "--quiet; that is an option of perfcore run"),
    ],
)
def test_an_option_of_another_command_is_answered_with_its_command(
    arguments: list[str], expected: str
) -> None:
    assert f"unrecognized arguments: {expected}" in refused(arguments)


@pytest.mark.parametrize(
    ("flag", "answer"),
    [
        *(
            (flag, "the number of worker processes is --procs N")
            for flag in ("-t", "-w", "--threads", "-cpus")
        ),
        *(
            (flag, "the number of users is parallel_users: in the suite")
            for flag in ("-u", "--vus", "--users")
        ),
        *((flag, "the number of users is parallel_users:") for flag in ("--connections", "--concurrency")),
        *(
            (flag, "iterations: or total_iterations: in the suite")
            for flag in ("-i", "--iterations", "--requests")
        ),
        *(
            (flag, "the duration is duration: in the suite")
            for flag in ("--duration", "--run-time", "-duration")
        ),
        *(
            (flag, "the rate is rate: 500/s of a test in the suite")
            for flag in ("-R", "--rps", "-rate", "-q")
        ),
        ("--stages", "stages are stages: [{duration: 30s, users: 50}] of a test in the suite"),
        ("--user", "credentials are auth: in the suite, the number of users is parallel_users: there"),
        *((flag, "users start over ramp_up: in the suite") for flag in ("--spawn-rate", "--ramp-up")),
        *((flag, "the suite is the argument itself") for flag in ("-f", "--locustfile", "--config")),
        *((flag, "the server is base_url: in the suite") for flag in ("--host", "--url")),
        *(
            (flag, "tls: {verify: false} in the suite")
            for flag in ("--insecure", "--insecure-skip-tls-verify")
        ),
        *(
            (flag, "the result is kept in --results-dir DIR")
            for flag in ("--csv", "--summary-export", "-output")
        ),
        *(
            (flag, "in the suite")
            for flag in ("--timeout", "--header", "--method", "--body", "-x", "--http2")
        ),
        *((flag, "there are no scripts") for flag in ("-s", "--script")),
        ("-targets", "the requests are the tests of the suite"),
        ("--latency", "percentiles are always told"),
        ("--headless", "there is no web page"),
        ("-v", "the result has samples of what failed"),
        *(
            (flag, "is not supported yet")
            for flag in ("-c", "-n", "-d", "-z", "-r", "-H", "-m", "-X", "-b", "-k", "-o")
        ),
    ],
)
def test_an_option_of_another_tool_is_answered_by_name(flag: str, answer: str) -> None:
    for arguments in ([flag, "5", SUITE], [SUITE, flag, "5"], [SUITE, f"{flag}=5"], ["run", flag, SUITE]):
        told = refused(arguments)
        assert told.startswith((f"{flag} ", f"{flag[:2]} ")), told
        assert answer in told


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "which suite? perfcore SUITE.yaml; see perfcore --help"),
        ([""], "the name of the suite is empty"),
        (["run", ""], "the name of the suite is empty"),
        (["validate", SUITE, ""], "the name of the suite is empty"),
        (["--", ""], "the name of the suite is empty"),
        (["--"], "the following arguments are required: SUITE"),
        (["--quiet"], "the following arguments are required: SUITE"),
        (["--quiet", "--", SUITE, "--json"], "unrecognized arguments: --json"),
        (["run", SUITE, "two.yaml"], "unrecognized arguments: two.yaml"),
        ([SUITE, "--samples-limit", "1MB"], "--samples-limit has no effect without --samples"),
        ([SUITE, "--json", "--dry-run"], "--json prints the result, and with --dry-run there is none"),
        ([SUITE, "--var", "-x=1"], "argument --var: expected one argument"),
        ([SUITE, "--procs", "--json"], "argument --procs: expected one argument"),
        (["HTTP://a"], "a URL in place of a suite is not supported yet"),
        (["Https://a/b?c"], "a URL in place of a suite is not supported yet"),
        (["x" * 5000, "two.yaml"], "is no command and no file"),
        (["schema", "x" * 5000], "unrecognized arguments"),
        ([SUITE, *["--unknown"] * 500], "unrecognized arguments: --unknown"),
        ([SUITE, "validate"], f"the command comes first: write perfcore validate {SUITE}"),
        (["my suite.yml", "--quiet", "run"], "the command comes first: write perfcore run 'my suite.yml'"),
        *(([SUITE, command], f"the command comes first: write perfcore {command}") for command in COMMANDS),
        ([str(ROOT / "Makefile"), "validate"], "the command comes first: write perfcore validate /"),
        ([SUITE, "--help-me"], "unrecognized arguments: --help-me"),
    ],
)
def test_what_else_can_be_wrong_is_one_line(arguments: list[str], expected: str) -> None:
    assert expected in refused(arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--quiet", SUITE],
        [SUITE, "--quiet", "--quiet"],
        ["run", "--procs", "2", SUITE, "--quiet"],
        ["--quiet", "--", SUITE],
        [SUITE, "--var=A=", "--var=B=-x", "--var=A=2", "--tag=x=y"],
        [SUITE, "--samples", "--samples-limit", "1MB"],
    ],
)
def test_options_stand_in_front_of_the_suite_and_behind_it(arguments: list[str]) -> None:
    options = parse_command_line(arguments, {})

    assert (options.command, options.suite) == ("run", SUITE)


def test_a_suite_may_look_like_an_option_behind_two_dashes() -> None:
    assert parse_command_line(["--", "-suite.yaml"], {}).suite == "-suite.yaml"


def test_what_the_environment_says_for_many_runs_is_no_mistake_of_one() -> None:
    options = parse_command_line(
        [SUITE, "--dry-run"], {"PERFCORE_SAMPLES_LIMIT": "1MB", "PERFCORE_JSON": "1"}
    )

    assert (options.samples_limit, options.json) == (1_000_000, True)


def test_the_bounds_of_the_command_line_are_those_of_the_python_interface() -> None:
    assert option_values.MOST_PROCS == runner_arguments.MOST_PROCS
    assert option_values.HIGHEST_SEED == runner_arguments.HIGHEST_SEED


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["run", "--help"], ["schema"], ["config/test_config.yaml", "--dry-run"]],
)
def test_an_output_for_which_there_is_no_room_is_told(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=ROOT,
            env=environment({}),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
        )

    assert done.returncode == ExitCode.NOT_SAVED
    line = "perfcore: stdout: No space left on device: what was to be shown there is lost\n"
    assert done.stderr.decode() == line


def test_without_stderr_nothing_is_put_on_stdout() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" 2>&-', "sh", *COMMAND, "nowhere.yaml"],
        cwd=ROOT,
        env=environment({}),
        stdout=subprocess.PIPE,
        timeout=60,
    )

    assert (done.returncode, done.stdout) == (ExitCode.WRONG_SUITE, b"")


@pytest.mark.parametrize(
    "arguments", [["schema"], ["config/test_config.yaml", "--dry-run"], ["nöwhere.yaml"], ["--help"]]
)
def test_an_encoding_that_lacks_a_character_ends_nothing(arguments: list[str]) -> None:
    done = perfcore(*arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0")

    assert done.returncode == (ExitCode.WRONG_SUITE if "nöwhere.yaml" in arguments else ExitCode.PASSED)
    assert "Traceback" not in done.stderr
    assert done.stdout + done.stderr


def test_the_schema_is_utf_8_whatever_the_terminal_has() -> None:
    def schema(**env: str) -> bytes:
        return subprocess.run(
            [*COMMAND, "schema"],
            env=environment(env),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            timeout=60,
            check=True,
        ).stdout

    assert schema(PYTHONIOENCODING="ascii") == schema(PYTHONIOENCODING="utf-8")


def test_a_current_directory_that_was_removed_is_told(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    script = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    suite = ROOT / "config" / "test_config.yaml"
    done = subprocess.run(
        ["/bin/sh", "-c", script, "sh", str(gone), *COMMAND, str(suite), "--dry-run"],
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    line = "perfcore: the current directory was removed; change to another one"
    assert complaint(done, ExitCode.SETUP_FAILED) == line


@pytest.mark.parametrize("kilobytes", [30_000, 60_000, 120_000])
def test_too_little_memory_is_one_line(kilobytes: int) -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -v {kilobytes} && exec "$@"', "sh", *COMMAND, "config/test_config.yaml"],
        cwd=ROOT,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert complaint(done, ExitCode.SETUP_FAILED).startswith("perfcore: there is not enough memory")


def test_a_result_larger_than_files_may_be_is_told_as_not_saved(tmp_path: Path) -> None:
    suite = tmp_path / "suite.yaml"
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    suite.write_text(
        f"test_suite: {{name: S, base_url: 'http://127.0.0.1:{port}', tests: [{{name: A, endpoint: /}}]}}"
    )
    done = subprocess.run(
        ["/bin/sh", "-c", 'ulimit -f 1 && exec "$@"', "sh", *COMMAND, str(suite), "--quiet"],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        timeout=60,
    )

    line = complaint(done, ExitCode.NOT_SAVED)
    assert "File too large" in line
    assert os.fspath(tmp_path) in line


@pytest.mark.parametrize(
    ("arguments", "environ", "told"),
    [
        (
            ["calibrate", "--engine", "x", "--seconds", "9999", "--bogus"],
            {},
            "argument --engine: 'x' is no engine; write wire, transfer or both; argument --seconds: '9999' is not a "
            "time for a run; give 0.2 to 600 seconds; unrecognized arguments: --bogus; see perfcore calibrate --help",
        ),
        (
            ["calibrate", "--seconds", "x"],
            {"PERFCORE_QUICK": "maybe"},
            "argument --seconds: 'x' is not a time for a run; give 0.2 to 600 seconds; see perfcore calibrate --help; "
            "PERFCORE_QUICK: 'maybe' is neither yes nor no; write 1 or 0",
        ),
        (
            ["run", SUITE, "--var", "a", "--var", "b"],
            {},
            "argument --var: 'a' is not NAME=VALUE; argument --var: 'b' is not NAME=VALUE; see perfcore run --help",
        ),
    ],
)
def test_all_wrong_values_of_a_command_line_are_told_at_once(
    arguments: list[str], environ: dict[str, str], told: str
) -> None:
    with pytest.raises(UsageError) as caught:
        parse_command_line(arguments, environ)
    assert str(caught.value) == told
