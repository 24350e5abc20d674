"""The command line as data: every option once, with its environment twin, and the parser made of them.

It imports argparse and the shelves alone, so `--help` answers at once and the manual page can be made without
numpy or libcurl. Options default to None here: what was given is told from what was not, and the environment
twin (PERFCORE_ and the option's name) stands in for what was not.
"""

import argparse
import difflib
import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NoReturn

from perfcore._version import __version__
from perfcore.cli.foreign_options import foreign_answer, told_surplus
from perfcore.cli.option_values import (
    LONGEST_QUOTED,
    quoted,
    read_age,
    read_calibrated_engines,
    read_engine,
    read_environment_name,
    read_number_to_keep,
    read_pair,
    read_procs,
    read_run_seconds,
    read_seed,
    read_size,
    short_complaint,
)
from perfcore.errors import UsageError

COMMANDS = ("run", "validate", "schema", "clean", "calibrate", "target")
_TAKING_SUITES = ("run", "validate")
# Variables of perfcore's that are no option's twin: one of its own tests.
_OTHER_VARIABLES = frozenset({"PERFCORE_REQUIRE_DEBIAN"})
_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"", "0", "false", "no", "off"})


@dataclass(frozen=True)
class Option:
    """One option of a command: `flags` as typed, `kind` how its value is taken."""

    flags: tuple[str, ...]
    help: str
    kind: str = "value"  # value | flag | list
    metavar: str | None = None
    parse: Callable[[str], Any] = str
    default: Any = None

    @property
    def name(self) -> str:
        return self.flags[-1].lstrip("-").replace("-", "_")

    @property
    def twin(self) -> str:
        return f"PERFCORE_{self.name.upper()}"

    @property
    def help_with_twin(self) -> str:
        several = f"; repeatable, in {self.twin} one a line" if self.kind == "list" else ""
        return f"{self.help}{several} [{self.twin}]"

    def read(self, text: str) -> Any:
        """The value of a text that was given. Raises ArgumentTypeError."""
        if not text:
            raise argparse.ArgumentTypeError("is empty")
        try:
            return self.parse(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{quoted(text)} cannot be read") from None


_SUITE_OPTIONS = (
    Option(("--env",), "use this environment of the suite", metavar="NAME", parse=read_environment_name),
    Option(("--var",), "a value for ${NAME}, before all others", "list", "NAME=VALUE", parse=read_pair),
    Option(("--only",), "run this test alone (its name or result key)", "list", "NAME"),
)
_RESULTS_DIR = Option(("--results-dir",), "where results are kept (default: results)", metavar="DIR")
RUN_OPTIONS = (
    Option(
        ("--procs",),
        "worker processes: a number, or auto for one per usable core (default: auto)",
        metavar="N",
        parse=read_procs,
    ),
    *_SUITE_OPTIONS,
    Option(("--tag",), "a tag carried into the result", "list", "NAME=VALUE", parse=read_pair),
    Option(
        ("--seed",),
        "make every random choice repeatable (default: a new one each run, told in the result)",
        metavar="N",
        parse=read_seed,
    ),
    Option(
        ("--engine",),
        "auto takes the wire path where it can serve a test, else libcurl transfers; wire and transfer force one",
        metavar="NAME",
        parse=read_engine,
    ),
    Option(
        ("--no-spin",),
        "sleep until an iteration of a rate is due: frees the cores, and starts it tens of microseconds late",
        "flag",
    ),
    Option(
        ("--strict",),
        "a result that is not to be trusted (validity: invalid) is a failure: exit code 96",
        "flag",
    ),
    _RESULTS_DIR,
    Option(("--samples",), "keep one row a request in samples.npy beside the result", "flag"),
    Option(
        ("--samples-limit",),
        "at most so much of samples (default: 2GiB)",
        metavar="SIZE",
        parse=read_size,
    ),
    Option(("--json",), "print the result as JSON on stdout, and nothing else there", "flag"),
    Option(("--dry-run",), "show the plan and send nothing", "flag"),
    Option(("--quiet",), "no progress on stderr, no summary", "flag"),
    Option(("--no-color",), "no colour, also with NO_COLOR set", "flag"),
)
VALIDATE_OPTIONS = _SUITE_OPTIONS[:2]
SCHEMA_OPTIONS = (Option(("--result",), "the schema of results.json in place of the suite's", "flag"),)
CLEAN_OPTIONS = (
    _RESULTS_DIR,
    Option(("--keep",), "keep the N newest results", metavar="N", parse=read_number_to_keep),
    Option(
        ("--older-than",),
        "remove results that are older; with --keep, what neither keeps",
        metavar="AGE",
        parse=read_age,
    ),
    Option(("--dry-run",), "list what would be removed, and remove nothing", "flag"),
)
CALIBRATE_OPTIONS = (
    Option(
        ("--engine",),
        "wire, transfer, or both (default: both); what is known of the other one is kept",
        metavar="NAME",
        parse=read_calibrated_engines,
    ),
    Option(("--quick",), "one round of short runs: a minute in place of four, and less sure", "flag"),
    Option(
        ("--seconds",),
        "of each of the runs (default: 4, with --quick 2.5)",
        metavar="N",
        parse=read_run_seconds,
    ),
    Option(("--json",), "print the calibration as JSON on stdout, and nothing else there", "flag"),
    Option(("--quiet",), "no progress on stderr, no table and plot", "flag"),
    Option(("--no-color",), "no colour, also with NO_COLOR set", "flag"),
)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaint is one UsageError line.

    `_manpage` is where argparse-manpage takes sections of the manual page from that it would else make itself.
    """

    _manpage: tuple[Mapping[str, str], ...] | list[Mapping[str, str]] = ()

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{short_complaint(message)}; see {self.prog} --help")

    def _print_message(self, message: str, file: Any = None) -> None:
        # Help and version; argparse keeps silent about a disk that is full.
        from perfcore.cli.messages import output

        with output() as stdout:
            stdout.write(message)


@dataclass(frozen=True)
class _Wrong:
    """In place of a value that cannot be read: argparse would end at the first, and all of them are to be told."""

    complaint: str


def _read_or_note(option: Option, text: str) -> Any:
    try:
        return option.read(text)
    except argparse.ArgumentTypeError as error:
        return _Wrong(f"argument {'/'.join(option.flags)}: {error}")


class _Once(argparse.Action):
    """Stores a value; a second one is a mistake, because one of the two would be dropped unseen."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, flag: Any = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "is given twice; give it once")
        setattr(namespace, self.dest, values)


def _surplus_hint(surplus: Sequence[str], command: str) -> str:
    """Which option was meant, when it is one of this command's or has the same name in another."""
    flag = next((word.partition("=")[0] for word in surplus if word.startswith("--")), "")
    own = [option.flags[-1] for option in _options_of(command)]
    close = difflib.get_close_matches(flag[:LONGEST_QUOTED], own, n=1, cutoff=0.75)
    if close:
        return f"; did you mean {close[0]}?"
    others = [other for other in COMMANDS if any(flag in option.flags for option in _options_of(other))]
    return f"; that is an option of perfcore {others[0]}" if others else ""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line, with a sub-parser for each command."""
    parser = Parser(
        prog="perfcore",
        usage="perfcore SUITE [options]\n       perfcore COMMAND [options]",
        description="Load an HTTP API from every core, and report how fast it answered and how far that can be "
        "trusted. `perfcore SUITE` is `perfcore run SUITE`.",
        epilog="`perfcore COMMAND --help` tells the options of a command; every option has an environment twin: "
        "PERFCORE_PROCS for --procs. Exit codes: 0 passed, 2 wrong command line, 96 the result is not to be trusted "
        "(with --strict), 97 a worker was lost, 99 a test had no success at all, 104 the suite is wrong, "
        "105 interrupted (result saved), 106 the result could not be saved, or an old one not removed, "
        "107 the embedded target or a worker could not be started, 108 ended by a limit.",
        allow_abbrev=False,
    )
    # Its own synopsis would be both forms in one line.
    forms = (f".B perfcore\n{form} [\\fIoptions\\fR]" for form in ("\\fISUITE\\fR", "\\fICOMMAND\\fR"))
    parser._manpage = [{"heading": "synopsis", "content": "\n.br\n".join(forms)}]
    parser.add_argument("--version", action="version", version=f"perfcore {__version__}")
    # Named here, or the usage of a command would begin with the two lines above.
    commands = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands", parser_class=Parser, prog="perfcore"
    )
    run = _command(commands, "run", "run a suite and keep its result (the default command)", RUN_OPTIONS)
    run.add_argument("suite", metavar="SUITE", help="the suite file, - for standard input")
    validate = _command(commands, "validate", "check a suite and tell every mistake in it", VALIDATE_OPTIONS)
    validate.add_argument("suite", metavar="SUITE", nargs="+", help="suite files, - for standard input")
    _command(commands, "schema", "print the JSON Schema of suite files, for editors", SCHEMA_OPTIONS)
    _command(commands, "clean", "remove old results, and nothing else", CLEAN_OPTIONS)
    _command(
        commands,
        "calibrate",
        "measure this tool's own error on this machine by rate, for later results to tell",
        CALIBRATE_OPTIONS,
    )
    target = _command(
        commands, "target", "start the embedded target server, to try a suite against", target_options()
    )
    target.formatter_class = argparse.RawDescriptionHelpFormatter
    target.epilog = _target_routes()
    return parser


def _target_routes() -> str:
    from perfcore.target.command import ROUTES_HELP

    width = max(map(len, ROUTES_HELP))
    return "routes:\n" + "\n".join(f"  {route:{width}}  {text}" for route, text in ROUTES_HELP.items())


def target_options() -> tuple[Option, ...]:
    """The arguments that the target has as a program of its own, as options like all others."""
    from perfcore.target.command import add_arguments

    arguments = argparse.ArgumentParser(add_help=False)
    add_arguments(arguments)
    return tuple(
        Option(
            tuple(action.option_strings),
            action.help or "",
            "flag" if action.nargs == 0 else "value",
            str(action.metavar) if action.metavar else None,
            action.type if callable(action.type) else str,
            action.default,
        )
        for action in arguments._actions
    )


def _command(
    commands: "argparse._SubParsersAction[Parser]", name: str, summary: str, options: tuple[Option, ...]
) -> Parser:
    parser = commands.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", allow_abbrev=False
    )
    for option in options:
        text = option.help_with_twin
        if option.kind == "flag":
            parser.add_argument(*option.flags, action="store_true", default=None, help=text)
        else:
            parser.add_argument(
                *option.flags,
                action="append" if option.kind == "list" else _Once,
                metavar=option.metavar,
                type=partial(_read_or_note, option),
                default=None,
                help=text,
            )
    return parser


def parse_command_line(arguments: list[str], environ: Mapping[str, str]) -> argparse.Namespace:
    """Options with their environment twins filled in. Raises UsageError; SystemExit(0) after --help."""
    if not arguments:
        raise UsageError("which suite? perfcore SUITE.yaml; see perfcore --help")
    arguments = _help_as_option(arguments)
    command = arguments[0]
    parser = build_parser()
    if command not in (*COMMANDS, "-h", "--help", "--version"):
        command, arguments = "run", ["run", *arguments]
        _answer_foreign_options(command, arguments[1:])
        _answer_wrong_command(parser, arguments)
    _answer_foreign_options(command, arguments[1:])
    options, complaints = _parsed(parser, arguments)
    suites = getattr(options, "suite", [])
    if "" in ([suites] if isinstance(suites, str) else suites):
        raise UsageError(f"the name of the suite is empty; see perfcore {command} --help")
    if command == "run" and options.suite.lower().startswith(("http://", "https://")):
        raise UsageError(
            "a URL in place of a suite is not supported yet; write a suite file "
            "(README, 'Your own API, in five minutes')"
        )
    _warn_of_unknown_variables(environ)
    given = {option.name for option in _options_of(command) if getattr(options, option.name) is not None}
    for option in _options_of(command):
        if option.name not in given:
            try:
                setattr(options, option.name, _from_environment(option, environ))
            except UsageError as error:
                complaints.append(str(error))
    if complaints:
        raise UsageError("; ".join(complaints))
    if command == "run":
        _check_combinations(options, given)
    elif command == "target":
        from perfcore.target.command import check_combinations

        check_combinations(options, given)
    return options


def _parsed(parser: argparse.ArgumentParser, arguments: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """What was given, and every complaint about it but for those that argparse itself ends with.

    A word that may be a secret is not told when it is one too many.
    """
    options, surplus = parser.parse_known_args(arguments)
    values = [getattr(options, option.name) for option in _options_of(options.command)]
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    complaints = [short_complaint(item.complaint) for item in flat if isinstance(item, _Wrong)]
    where = f"perfcore {options.command}" if complaints else "perfcore"
    if surplus:
        told = " ".join(told_surplus(surplus, arguments))
        hint = _surplus_hint(surplus, options.command)
        complaints.append(short_complaint(f"unrecognized arguments: {told}{hint}"))
    return options, [*complaints, f"see {where} --help"] if complaints else []


def _check_combinations(options: argparse.Namespace, given: set[str]) -> None:
    """Options that cannot be meant together; what the environment says goes for many runs and is no mistake."""
    if "samples_limit" in given and not options.samples:
        raise UsageError("--samples-limit has no effect without --samples")
    if {"json", "dry_run"} <= given:
        raise UsageError("--json prints the result, and with --dry-run there is none; give one of them")


def _answer_foreign_options(command: str, arguments: list[str]) -> None:
    if command != "run":
        return
    take_a_value = {option.flags[-1] for option in RUN_OPTIONS if option.kind != "flag"}
    for before, argument in pairwise(["", *arguments]):
        if argument == "--":
            return
        if before in take_a_value:
            continue
        if answer := foreign_answer(argument):
            raise UsageError(answer)


def _help_as_option(arguments: list[str]) -> list[str]:
    """`perfcore help` and `perfcore help run`, unless it is a suite of that name."""
    if arguments[0] != "help" or os.path.exists("help"):
        return arguments
    return [*(word for word in arguments[1:2] if word in COMMANDS), "--help"]


def _answer_wrong_command(parser: argparse.ArgumentParser, arguments: list[str]) -> None:
    """Two words where the command knows one: `perfcore suite.yaml validate`, `perfcore runn suite.yaml`."""
    word = arguments[1]
    if word.startswith("-") or "://" in word or len(arguments) < 3:
        return
    surplus = parser.parse_known_args(arguments)[1]
    is_file = os.path.exists(word)
    if surplus and surplus[0] in COMMANDS and (is_file or word.endswith((".yaml", ".yml"))):
        suite = (
            f" {shlex.quote(word)}" if surplus[0] in _TAKING_SUITES and len(word) <= LONGEST_QUOTED else ""
        )
        raise UsageError(f"the command comes first: write perfcore {surplus[0]}{suite}")
    if surplus and not surplus[0].startswith("-") and not is_file:
        close = difflib.get_close_matches(word.lower(), COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
        raise UsageError(f"{quoted(word)} is no command and no file; {hint}")


def _warn_of_unknown_variables(environ: Mapping[str, str]) -> None:
    from perfcore.cli.messages import warn

    every_option = (option for command in COMMANDS for option in _options_of(command))
    known = {*(option.twin for option in every_option), *_OTHER_VARIABLES}
    for name in sorted(environ):
        if name.startswith("PERFCORE_") and name not in known:
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            hint = f"; did you mean {close[0]}?" if close else ""
            warn(f"{name} in the environment is no option's variable and is ignored{hint}")


def _options_of(command: str) -> tuple[Option, ...]:
    if command == "target":
        return target_options()
    return {
        "run": RUN_OPTIONS,
        "validate": VALIDATE_OPTIONS,
        "schema": SCHEMA_OPTIONS,
        "clean": CLEAN_OPTIONS,
        "calibrate": CALIBRATE_OPTIONS,
    }.get(command, ())


def _from_environment(option: Option, environ: Mapping[str, str]) -> Any:
    """What the twin says: the option's value; its default (for a flag False, for a list []) when it is not set."""
    text = environ.get(option.twin)
    if option.kind == "flag":
        lowered = (text or "").strip().lower()
        if lowered not in _TRUE | _FALSE:
            raise UsageError(f"{option.twin}: {quoted(text or '')} is neither yes nor no; write 1 or 0")
        return lowered in _TRUE
    try:
        if option.kind == "list":
            return [option.read(line) for line in (text or "").splitlines() if line]
        return option.read(text) if text else option.default
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"{option.twin}: {error}") from None
