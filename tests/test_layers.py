"""The house of ARCHITECTURE.md, checked from the code's own imports: rooms, circles, owners, length of functions.

Imports are read with `ast`, wherever they stand: at the top, in a function, under TYPE_CHECKING. A module that is
imported by name (`import_module`) counts too; only the cli room may do that.
"""

import ast
import fnmatch
import re
import sys
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest
from integration.runs import run_python

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "perfcore"
LONGEST_FUNCTION = 60

# Each room, and the rooms it may import besides itself. Everybody may import the shelves.
ROOMS = {
    "cli": {"engine", "report", "metrics", "suite"},
    "engine": {"report", "metrics", "suite"},
    "report": {"metrics", "suite"},
    "metrics": {"suite"},
    "suite": set(),
    "target": set(),
}
SHELVES = {"errors.py", "units.py", "_version.py"}
# Files that lie outside of their room's directory.
ROOM_OF_FILE = {"__init__.py": "cli", "__main__.py": "cli", "py.typed": "cli"}
# The target is a program of its own: its command starts it and the parser takes its arguments from there.
MAY_IMPORT_TARGET = {"cli/target_command.py", "cli/parser.py"}


class Owner(NamedTuple):
    distribution: str
    places: tuple[str, ...]
    """Files, or directories with a slash at the end, below perfcore/."""
    reason: str


OWNERS = {
    "pycurl": Owner(
        "pycurl",
        (
            "engine/http_client.py",
            "engine/curl_handle.py",
            "engine/curl_options.py",
            "engine/transfer_cycle.py",
            "engine/transfer_figures.py",
            "engine/transfer_users.py",
            "engine/wire_connection.py",
            "engine/libcurl_features.py",
        ),
        "the two transports; the wire path has libcurl make its connections; what the installed libcurl can do",
    ),
    "setproctitle": Owner(
        "setproctitle", ("engine/process_title.py",), "what ps shows of a process shows no secret"
    ),
    "regex": Owner("regex", ("suite/bounded_match.py",), "a match that has a time limit"),
    "psutil": Owner("psutil", ("metrics/environment.py",), "one sampler of host and workers"),
    "numpy": Owner("numpy", ("metrics/",), "rows, histograms and timelines are arrays; nobody else computes"),
    "yaml": Owner("pyyaml", ("suite/",), "reads the suite, and writes the effective one"),
    "pydantic": Owner("pydantic", ("suite/",), "user input is checked once, here; inside it is trusted"),
    "jsonpath_rfc9535": Owner(
        "jsonpath-rfc9535", ("suite/json_conditions.py",), "expectations name values by it"
    ),
    "orjson": Owner(
        "orjson",
        ("suite/", "report/", "cli/schema_command.py"),
        "the fast standard format, as `json` would be: bodies in suite/, results in report/, the schema as output",
    ),
    "rich": Owner("rich", ("report/",), "everything that is drawn on a terminal"),
    "httptools": Owner(
        "httptools",
        ("target/server.py", "engine/wire_reader.py", "engine/wire_plain_reader.py"),
        "parses what clients send to the target, and what servers answer on the wire path",
    ),
    "trustme": Owner("trustme", ("target/certificate.py",), "makes the target's certificate; an extra"),
}


def python_files() -> list[str]:
    """Every module of perfcore, as its path below perfcore/."""
    return sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))


def room_of(file: str) -> str | None:
    """A room, "shelf", or None for a file that has no place."""
    if file in SHELVES:
        return "shelf"
    if "/" not in file:
        return ROOM_OF_FILE.get(file)
    room = file.partition("/")[0]
    return room if room in ROOMS else None


def file_of(module: str) -> str | None:
    """The file of a module of perfcore by its dotted name."""
    below = module.split(".")[1:]
    for candidate in ("/".join(below) + ".py", "/".join([*below, "__init__.py"])):
        if (PACKAGE / candidate).is_file():
            return candidate
    return None


def imported_modules(file: str, tree: ast.AST) -> Iterator[str]:
    """Dotted names of what a file imports; `from perfcore.metrics import samples` is the module samples."""
    package = ["perfcore", *Path(file).parts[:-1]]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(package[: len(package) + 1 - node.level]) if node.level else ""
            module = ".".join(part for part in (start, node.module) if part)
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                is_module = module.partition(".")[0] == "perfcore" and file_of(inner) is not None
                yield inner if is_module else module
        elif isinstance(node, ast.Call) and is_dynamic_import(node):
            yield from named_modules(node)


def is_dynamic_import(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in {"import_module", "__import__"}


def named_modules(node: ast.Call) -> Iterator[str]:
    """What `import_module(f"perfcore.cli.{name}_command")` may import: every module whose name fits."""
    argument = node.args[0]
    parts = argument.values if isinstance(argument, ast.JoinedStr) else [argument]
    pattern = "".join(str(part.value) if isinstance(part, ast.Constant) else "*" for part in parts)
    if not pattern.startswith("perfcore."):
        return
    for file in python_files():
        module = "perfcore." + file.removesuffix(".py").replace("/", ".")
        if fnmatch.fnmatchcase(module, pattern):
            yield module


TREES = {file: ast.parse((PACKAGE / file).read_text(encoding="utf-8"), file) for file in python_files()}
IMPORTS = {file: set(imported_modules(file, tree)) for file, tree in TREES.items()}


def imported_files(file: str) -> set[str]:
    """The files of perfcore that this one imports."""
    found = {file_of(module) for module in IMPORTS[file] if module.partition(".")[0] == "perfcore"}
    return {each for each in found if each is not None} - {file}


def packages(file: str) -> set[str]:
    """The third-party packages that this one imports."""
    tops = {module.partition(".")[0] for module in IMPORTS[file]}
    return tops - sys.stdlib_module_names - {"perfcore"}


def may_import(file: str, imported: str) -> bool:
    room, other = room_of(file), room_of(imported)
    if other == "shelf":
        return room != "shelf"
    if other == "target" and file in MAY_IMPORT_TARGET:
        return True
    return room == other or (room in ROOMS and other in ROOMS[room])


def test_every_file_has_a_room() -> None:
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.is_file()]
    homeless = [file for file in files if "__pycache__" not in file and room_of(file) is None]

    assert not homeless


def test_a_room_imports_only_rooms_below_it() -> None:
    wrong = [
        f"{file} imports {imported}"
        for file in TREES
        for imported in sorted(imported_files(file))
        if not may_import(file, imported)
    ]

    assert not wrong


@pytest.mark.parametrize(
    ("file", "imported", "allowed"),
    [
        ("engine/worker.py", "metrics/samples.py", True),
        ("metrics/samples.py", "engine/worker.py", False),
        ("report/summary.py", "units.py", True),
        ("errors.py", "units.py", False),
        ("units.py", "suite/test_case.py", False),
        ("engine/embedded_target.py", "target/server.py", False),
        ("cli/target_command.py", "target/command.py", True),
        ("cli/main.py", "target/command.py", False),
        ("target/server.py", "metrics/histogram.py", False),
        ("metrics/histogram.py", "__init__.py", False),
    ],
)
def test_the_rule_of_the_rooms_is_the_one_of_the_design(file: str, imported: str, allowed: bool) -> None:
    assert may_import(file, imported) is allowed


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from perfcore.metrics import samples", {"perfcore.metrics.samples"}),
        ("from perfcore.metrics.samples import Rows", {"perfcore.metrics.samples"}),
        ("if TYPE_CHECKING:\n    import numpy.typing", {"numpy.typing"}),
        ("def later():\n    from . import worker", {"perfcore.engine.worker"}),
        ("from .worker import WorkerJob", {"perfcore.engine.worker"}),
        ("from ..units import parse_size", {"perfcore.units"}),
        ("import_module(f'perfcore.cli.{name}_command')", {"perfcore.cli.run_command"}),
    ],
)
def test_imports_are_found_wherever_they_stand(source: str, expected: set[str]) -> None:
    assert expected <= set(imported_modules("engine/made_up.py", ast.parse(source)))


@pytest.mark.parametrize("room", [*ROOMS, "shelf"])
def test_the_files_of_a_room_form_no_circle(room: str) -> None:
    graph = {
        file: {other for other in imported_files(file) if room_of(other) == room}
        for file in TREES
        if room_of(file) == room
    }

    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail("a circle: " + " -> ".join(reversed(error.args[1])), pytrace=False)


def test_only_the_cli_imports_modules_by_name() -> None:
    callers = {
        file
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and is_dynamic_import(node)
    }

    assert {room_of(file) for file in callers} == {"cli"}


def test_a_package_is_imported_by_its_owner_alone() -> None:
    strangers = [
        f"{file} imports {package}"
        for file in TREES
        for package in sorted(packages(file))
        if package not in OWNERS
        or not any(
            file == place or (place[-1] == "/" and file.startswith(place)) for place in OWNERS[package].places
        )
    ]

    assert not strangers


def test_every_owned_package_is_declared_and_every_declared_one_is_owned_and_used() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["tls-target"]
    declared = {re.split(r"[^A-Za-z0-9_.-]", each)[0].lower() for each in needed}
    used = set().union(*(packages(file) for file in TREES))

    assert declared == {owner.distribution for owner in OWNERS.values()}
    assert used == set(OWNERS)


def test_the_parser_is_built_without_any_third_party_package() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "from perfcore.cli.parser import build_parser; build_parser().format_help()\n"
        "tops = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(*sorted(tops - sys.stdlib_module_names))"
    )
    assert run_python(ROOT, program).stdout.split() == ["perfcore"]


def test_no_function_is_longer_than_a_page() -> None:
    long = [
        f"perfcore/{file}:{node.lineno} {node.name}: {length} lines"
        for file, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    ]

    assert not long
