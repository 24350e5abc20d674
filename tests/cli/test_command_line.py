"""The command line as its user meets it: wrong options, help, version, streams."""

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from perfcore_command import COMMAND, ROOT, complaint, environment, perfcore

from perfcore.cli.main import main
from perfcore.cli.parser import (
    CLEAN_OPTIONS,
    COMMANDS,
    RUN_OPTIONS,
    SCHEMA_OPTIONS,
    VALIDATE_OPTIONS,
    target_options,
)
from perfcore.target.routes import ROUTES

TOUR = "config/test_config.yaml"
SUITE = """\
test_suite:
  name: small
  base_url: http://127.0.0.1:{port}
  tests:
    - name: Root
      endpoint: /${{WHO}}
      parallel_users: 3
      iterations: 4
  variables: {{WHO: suite}}
"""


@pytest.fixture
def server() -> Iterator[socket.socket]:
    """It listens and answers nobody; `accept` tells whether somebody connected."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


@pytest.fixture
def suite(tmp_path: Path, server: socket.socket) -> Path:
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE.format(port=server.getsockname()[1]))
    return path


@pytest.fixture
def said_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> "Callable[..., subprocess.CompletedProcess[str]]":
    """As `perfcore(…)`, in this process: of many command lines, for which a process each would be seconds."""
    monkeypatch.chdir(ROOT)

    def ended(*arguments: str) -> "subprocess.CompletedProcess[str]":
        code = main(arguments)
        return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())

    return ended


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "which suite?"),
        (["run"], "the following arguments are required: SUITE"),
        ([TOUR, "--unknown"], "unrecognized arguments: --unknown"),
        ([TOUR, "second.yaml"], "unrecognized arguments: second.yaml"),
        ([TOUR, "--proc", "2"], "unrecognized arguments: --proc"),
        ([TOUR, "--procs"], "argument --procs: expected one argument"),
        ([TOUR, "--procs", "0"], "'0' is not a number of processes; give 1 to 1,024, or auto"),
        ([TOUR, "--procs", "٣"], "'٣' is not a number of processes"),
        ([TOUR, "--seed", "-1"], "'-1' is not a seed; give a whole number from 0"),
        ([TOUR, "--samples-limit", "3zz"], "'3zz' is not a size; write 500MB, 2GiB or a number of bytes"),
        ([TOUR, "--json=yes"], "argument --json: ignored explicit argument 'yes'"),
        ([TOUR, "--env", "K=V"], "that is --var NAME=VALUE"),
        ([TOUR, "--var", "K"], "'K' is not NAME=VALUE"),
        ([TOUR, "--var", "=V"], "'=V' is not NAME=VALUE"),
        ([TOUR, "--tag", "K"], "'K' is not NAME=VALUE"),
        ([TOUR, "--dry-run", "--only", "Nobody"], "there is no test 'Nobody'; the tests are Get user"),
        ([TOUR, "--fo\no"], "unrecognized arguments: --fo\\no"),
        (["validate"], "the following arguments are required: SUITE"),
        (["validate", TOUR, "--procs", "2"], "unrecognized arguments: --procs 2"),
        (["schema", "surplus"], "unrecognized arguments: surplus"),
        (["target", "--port", "65536"], "'65536' is not a port; write a number from 0 to 65535"),
        (["target", "--port", "http"], "'http' is not a port"),
        (["target", "--port", "-1"], "'-1' is not a port"),
        (["target", "surplus"], "unrecognized arguments: surplus"),
        (["target", "--unix", "/tmp/s", "--port", "0"], "--port has no effect with --unix"),
        (["target", "--port", "0", "--host", "::1", "--unix", "s"], "--host and --port have no effect with"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_code_2(
    said_here: "Callable[..., subprocess.CompletedProcess[str]]", arguments: list[str], expected: str
) -> None:
    line = complaint(said_here(*arguments))

    assert line.startswith("perfcore: ")
    assert expected in line


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("perfcore run", [TOUR, "--procs"]), ("perfcore target", ["target", "--port", "x"])],
)
def test_a_complaint_names_the_help_that_tells_the_option(command: str, arguments: list[str]) -> None:
    assert complaint(perfcore(*arguments)).endswith(f"; see {command} --help")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-w", "4"], "-w is not an option of perfcore: the number of worker processes is --procs N"),
        (["-w4"], "-w is not an option of perfcore"),
        (["-t=4"], "-t is not an option of perfcore"),
        (["--workers=4"], "--workers is not an option of perfcore"),
        (["--threads", "4"], "--threads is not an option of perfcore"),
        (["-e", "K=V"], "a variable is --var NAME=VALUE"),
        (["--config", "x.yaml"], "the suite is the argument itself"),
        (["-d", "10s"], "-d is not supported yet"),
        (["-c10"], "-c is not supported yet"),
        (["--out", "html"], "--out is not supported yet"),
    ],
)
def test_an_option_of_other_tools_is_answered_with_what_it_is_here(
    said_here: "Callable[..., subprocess.CompletedProcess[str]]", arguments: list[str], expected: str
) -> None:
    assert expected in complaint(said_here(TOUR, *arguments))
    assert expected in complaint(said_here(*arguments, TOUR))


def test_a_value_may_look_like_an_option_of_other_tools() -> None:
    done = perfcore(TOUR, "--dry-run", "--var=FLAG=-d", "--tag=-w=4")

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("arguments", [["http://127.0.0.1:1/"], ["--json", "http://127.0.0.1:1/"]])
def test_a_url_in_place_of_a_suite_is_not_supported_yet(arguments: list[str]) -> None:
    line = complaint(perfcore(*arguments))

    assert "a URL in place of a suite is not supported yet" in line
    section = re.search(r"README, '(.+)'\)", line)
    assert section
    assert f"\n## {section[1]}\n" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("command", [[], ["run"], ["validate"]])
def test_a_suite_that_does_not_exist_is_a_wrong_suite(command: list[str]) -> None:
    line = complaint(perfcore(*command, "nowhere.yaml"), 104)

    assert line == "nowhere.yaml: cannot be read: No such file or directory"


def test_a_command_that_does_not_exist_is_taken_for_a_suite() -> None:
    assert complaint(perfcore("destroy"), 104) == "destroy: cannot be read: No such file or directory"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runn", TOUR], "'runn' is no command and no file; did you mean run?"),
        (["Validate", "--var=A=1", TOUR], "'Validate' is no command and no file; did you mean validate?"),
        (
            ["load", TOUR],
            "'load' is no command and no file; the commands are run, validate, schema, clean, calibrate, target",
        ),
    ],
)
def test_a_wrong_command_before_a_suite_is_answered_with_the_right_one(
    arguments: list[str], expected: str
) -> None:
    assert complaint(perfcore(*arguments)) == f"perfcore: {expected}"


def test_help_is_a_word_as_well_unless_a_suite_has_that_name(tmp_path: Path) -> None:
    assert perfcore("help", cwd=tmp_path).stdout == perfcore("--help").stdout
    assert perfcore("help", "run", cwd=tmp_path).stdout == perfcore("run", "--help").stdout
    (tmp_path / "help").write_text("")
    assert complaint(perfcore("help", cwd=tmp_path), 104).startswith("help: is empty")


def test_the_help_of_the_target_lists_its_routes() -> None:
    text = perfcore("target", "--help").stdout
    listed = re.findall(r"^  /([\w-]+).*  \S", text[text.index("\nroutes:\n") :], re.MULTILINE)

    assert list(dict.fromkeys(listed)) == list(ROUTES)


@pytest.mark.parametrize("option", ["var", "only", "tag"])
def test_the_help_of_a_repeatable_option_says_how_its_variable_holds_several(option: str) -> None:
    text = " ".join(perfcore("run", "--help").stdout.split())

    assert f"repeatable, in PERFCORE_{option.upper()} one a line" in text


def test_a_file_name_cannot_write_to_the_terminal() -> None:
    line = complaint(perfcore("\x1b[2Jwhite\nspace.yaml"), 104)

    assert line.startswith("\\x1b[2Jwhite\\nspace.yaml: cannot be read")


def test_the_version_is_one_line_on_stdout() -> None:
    done = perfcore("--version")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"perfcore \d+\.\d+\.\d+\S*\n", done.stdout)


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], *([command, "--help"] for command in COMMANDS)])
def test_help_goes_to_stdout(arguments: list[str]) -> None:
    done = perfcore(*arguments)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: perfcore ")


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("run", RUN_OPTIONS),
        ("validate", VALIDATE_OPTIONS),
        ("schema", SCHEMA_OPTIONS),
        ("clean", CLEAN_OPTIONS),
        ("target", target_options()),
    ],
)
def test_help_names_every_option_and_its_environment_twin(command: str, options: tuple) -> None:
    text = " ".join(perfcore(command, "--help").stdout.split())

    assert options
    for option in options:
        name = option.flags[-1].removeprefix("--")
        assert f"--{name}" in text
        assert f"[PERFCORE_{name.upper().replace('-', '_')}]" in text


def test_a_dry_run_shows_the_plan_sends_nothing_and_keeps_nothing(
    suite: Path, server: socket.socket, tmp_path: Path
) -> None:
    done = perfcore(str(suite), "--dry-run", "--procs", "2", cwd=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert "Root  (root)" in done.stdout
    assert "3 users" in done.stdout
    with pytest.raises(BlockingIOError):
        server.accept()
    assert not (tmp_path / "results").exists()


def test_a_suite_may_come_from_standard_input(suite: Path) -> None:
    done = perfcore("-", "--dry-run", stdin=suite.read_text())

    assert (done.returncode, done.stderr) == (0, "")
    assert "Root  (root)" in done.stdout


@pytest.mark.parametrize("arguments", [["schema"], ["--help"], [TOUR, "--dry-run"], ["validate", TOUR]])
def test_a_reader_that_has_seen_enough_is_no_error(arguments: list[str]) -> None:
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=ROOT,
        env=environment({}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    # Nobody reads from the first byte on, so every write meets a closed pipe.
    process.stdout.close()
    assert process.stderr is not None
    error = process.stderr.read()
    process.stderr.close()

    assert (process.wait(30), error) == (0, "")
