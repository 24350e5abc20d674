"""What the installed libcurl lacks is told by every way in, before anything is sent."""

import importlib
from pathlib import Path

import pytest

from perfcore import TestCase, TestRunner
from perfcore.cli.main import main
from perfcore.errors import ExitCode, SuiteError

SUITE = """\
test_suite:
  name: S
  tests:
    - {name: A, endpoint: "https://127.0.0.1:1/", http_version: 3}
"""
# Line and column of the key.
PLACE = f"4:{SUITE.splitlines()[3].index('http_version') + 1}"
LINE = "tests[0].http_version: HTTP/3 is not in libfoo 1.0; use auto or 1.1"


@pytest.fixture
def suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for module in ("cli.run_command", "cli.validate_command", "engine.test_runner"):
        monkeypatch.setattr(
            importlib.import_module(f"perfcore.{module}"), "lacks", lambda _feature: "libfoo 1.0"
        )
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return path


@pytest.mark.parametrize("arguments", [["validate"], ["run"], ["run", "--dry-run"]])
def test_the_command_tells_it_with_the_place(
    arguments: list[str], suite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*arguments, str(suite)]) == ExitCode.WRONG_SUITE
    assert capsys.readouterr().err.splitlines() == [f"{suite}:{PLACE}: {LINE}"]


def test_the_runner_tells_it_of_a_file(suite: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        TestRunner(results_dir=None).run(suite)
    assert caught.value.mistakes == (f"{suite}:{PLACE}: {LINE}",)


@pytest.mark.usefixtures("suite")
def test_the_runner_tells_it_of_a_case() -> None:
    with pytest.raises(SuiteError) as caught:
        TestRunner(results_dir=None).run(TestCase(name="A", endpoint="https://127.0.0.1:1/", http_version=3))
    assert caught.value.mistakes == (f"TestSuite 'A': {LINE}",)
