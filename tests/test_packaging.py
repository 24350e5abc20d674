"""What users get: a wheel with the manual page and the types, and a command that answers at once."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from perfcore._version import __version__
from perfcore.cli.parser import build_parser

ROOT = Path(__file__).resolve().parent.parent
# What a build needs, of the tree.
SOURCES = ("perfcore", "LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py")
VERSION_WITHIN_S = 0.2


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of the tree, so that what a build leaves behind is not left here.

    Without isolation: the build's packages are among those of development, and no network is needed.
    """
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The prefix that the wheel is installed under, without its dependencies."""
    prefix = tmp_path_factory.mktemp("prefix")
    pip("install", "--no-deps", "--no-index", "--ignore-installed", "--prefix", str(prefix), str(wheel))
    return prefix


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def names(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def manual_page(wheel: Path) -> str:
    with zipfile.ZipFile(wheel) as archive:
        return archive.read(f"perfcore-{__version__}.data/data/share/man/man1/perfcore.1").decode()


def option_strings(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every option of the parser and of its commands, but --help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from option_strings(command)
        elif not isinstance(action, argparse._HelpAction):
            yield from action.option_strings


def test_the_wheel_holds_every_module_the_types_marker_and_the_license(wheel: Path) -> None:
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "perfcore").rglob("*.py")}

    files = {"perfcore/py.typed", "perfcore/report/result.schema.json"}
    assert modules | files <= set(names(wheel))
    assert f"perfcore-{__version__}.dist-info/licenses/LICENSE" in names(wheel)


def test_the_wheel_holds_nothing_but_the_package(wheel: Path) -> None:
    tops = {name.partition("/")[0] for name in names(wheel)}

    assert tops == {"perfcore", f"perfcore-{__version__}.data", f"perfcore-{__version__}.dist-info"}


def test_the_manual_page_mentions_every_option_and_every_twin(wheel: Path) -> None:
    page = re.sub(r"\\f[BIR]", "", manual_page(wheel)).replace("\\-", "-")

    options = set(option_strings(build_parser()))
    assert {"--procs", "--json", "--port", "--version"} <= options
    for option in options:
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", page), option
        twin = "PERFCORE_" + option.lstrip("-").replace("-", "_").upper()
        assert option == "--version" or f"[{twin}]" in page, twin


def test_the_manual_page_has_a_line_for_each_form_of_the_command(wheel: Path) -> None:
    synopsis = manual_page(wheel).partition(".SH SYNOPSIS\n")[2].partition("\n.SH")[0]

    assert re.sub(r"\\f[BIR]", "", synopsis).split("\n.br\n")[:2] == [
        ".B perfcore\nSUITE [options]",
        ".B perfcore\nCOMMAND [options]",
    ]


@pytest.mark.debian("groff")
def test_the_manual_page_renders_without_a_warning(wheel: Path) -> None:
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww"], input=manual_page(wheel), capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "perfcore run" in done.stdout


def test_an_installed_wheel_has_its_command_and_its_manual_page(installed: Path, tmp_path: Path) -> None:
    (package,) = installed.rglob("site-packages")
    done = subprocess.run(
        [installed / "bin" / "perfcore", "--version"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(package)},
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, f"perfcore {__version__}\n", "")
    assert (installed / "share" / "man" / "man1" / "perfcore.1").is_file()


def test_the_version_is_answered_at_once() -> None:
    times_s = []
    for _ in range(9):
        start_s = time.monotonic()
        subprocess.run(
            [sys.executable, "-m", "perfcore", "--version"], cwd=ROOT, check=True, capture_output=True
        )
        times_s.append(time.monotonic() - start_s)

    assert statistics.median(times_s) < VERSION_WITHIN_S, times_s


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["run", "--help"], ["target", "--help"]])
def test_what_needs_no_package_imports_none(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "perfcore", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines()}

    assert "perfcore" in imported
    packages = {"numpy", "pycurl", "pydantic", "rich", "orjson", "yaml", "psutil", "httptools"}
    assert not imported & packages
