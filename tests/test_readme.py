"""The README's suites, commands and Python example, tried out."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from target_process import TargetProcess

from perfcore.suite import not_yet
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_case import TestCase
from perfcore.target.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
TOUR = ROOT / "config" / "test_config.yaml"
SERVER = "https://api.example.com"


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in found if name == language]


SUITE, *PARTS_OF_A_TEST, SHARED, OPTIONS, LIMITS = blocks("yaml")
COMMANDS = [line.partition(" #")[0].strip() for block in blocks("") for line in block.splitlines()]


@pytest.fixture
def folder(tmp_path: Path, target: TargetProcess) -> Path:
    """With the README's suite, against a server that is there, and `perfcore` on its PATH."""
    (tmp_path / "suite.yaml").write_text(SUITE.replace(SERVER, target.url))
    command = tmp_path / "bin" / "perfcore"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m perfcore "$@"\n')
    command.chmod(0o755)
    return tmp_path


def shell(command: str, folder: Path) -> str:
    """What it writes on stdout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PERFCORE_")}
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**kept, "PATH": f"{folder / 'bin'}:{kept['PATH']}", "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done
    return done.stdout


def command_with(text: str) -> str:
    (found,) = [command for command in COMMANDS if text in command]
    return found


def test_the_suite_is_right() -> None:
    suite = load_suite("-", stdin=SUITE.encode(), environ={"TOKEN": "x"})
    assert suite.tests[0].key == "get_user_profile"


@pytest.mark.parametrize("part", PARTS_OF_A_TEST)
def test_what_a_test_may_have_instead_of_iterations_is_right(part: str) -> None:
    suite = SUITE.replace("      iterations: 100\n", part)
    if {"rate", "stages"} & yaml.safe_load(part).keys():
        suite = suite.replace("      parallel_users: 10\n", "")
    load_suite("-", stdin=suite.encode(), environ={"TOKEN": "x"})


@pytest.mark.parametrize("key", sorted(yaml.safe_load(OPTIONS)))
def test_what_a_request_may_be_is_right_key_by_key(key: str, tmp_path: Path) -> None:
    for name in ("cat.png", "ca.pem", "client.pem", "client.key"):
        (tmp_path / name).write_text("content")
    value = yaml.safe_load(OPTIONS)[key]
    more = {"retries": 1} if key.startswith("retry_") else {}
    test = {"name": "a", "endpoint": "/a", "method": "POST", key: value, **more}
    path = tmp_path / "suite.yaml"
    path.write_text(
        yaml.safe_dump({"test_suite": {"name": "s", "base_url": "https://api.example.com", "tests": [test]}})
    )
    load_suite(path, variables={"PASSWORD": "p"})


def test_the_keys_of_a_request_that_have_no_other_place_are_in_the_readme() -> None:
    elsewhere = {key for part in PARTS_OF_A_TEST for key in yaml.safe_load(part)} | {
        "name", "endpoint", "method", "headers", "description", "tags", "iterations", "parallel_users",
        "graceful_stop", "percentiles",
    }  # fmt: skip
    told = re.findall(r"\b[a-z_]+(?=:)", OPTIONS)
    assert set(TestCase.yaml_keys()) - elsewhere - set(told) == set()


def test_the_limits_are_right() -> None:
    suite = SUITE.replace("  tests:\n", f"{LIMITS}  tests:\n", 1)
    assert load_suite("-", stdin=suite.encode(), environ={"TOKEN": "x"}).limits.max_users == 500


def test_what_the_tests_share_and_what_differs_between_places_is_right() -> None:
    suite = SUITE.replace("  tests:\n", f"{SHARED}  tests:\n", 1).encode()
    here = load_suite("-", stdin=suite, environ={"TOKEN": "x"})
    staging = load_suite("-", stdin=suite, environ={"TOKEN": "x"}, env="staging")
    assert (here.base_url, here.variables) == (SERVER, {"TENANT": "acme"})
    assert (staging.base_url, staging.variables) == ("https://staging.example.com", {"TENANT": "test"})
    assert staging.secrets == ("TOKEN", "API_KEY")


def test_what_is_not_supported_yet_is_listed() -> None:
    table = README[README.index("### Not supported yet") : README.index("### What a request may be")]
    keys = {*not_yet.IN_TEST, *not_yet.IN_SUITE} - {"on_failure", "probability"}
    assert {key for key in keys if f"`{key}`" not in table} == set()


def test_the_figures_that_a_pipeline_looks_at_are_in_the_result(folder: Path) -> None:
    ((key, failed, place),) = re.findall(r"jq -e '\.results\.(\w+) \| \.(\w+) == 0 and \.(\S+) <", README)
    shell("TOKEN=x perfcore suite.yaml --json > result.json", folder)
    result = json.loads((folder / "result.json").read_text())
    assert (result["verdict"], result["exit_code"]) == ("passed", 0)
    value = test = result["results"][key]
    for part in place.split("."):
        value = value[part]
    assert (test[failed], value > 0) == (0, True)


def test_there_are_a_suite_and_five_parts_of_one() -> None:
    assert len(PARTS_OF_A_TEST) == 5


def test_the_commands_of_the_first_five_minutes_work(folder: Path) -> None:
    (block,) = [text for text in blocks("") if "perfcore validate" in text]

    lines = shell(f"set -e\n{block}", folder).splitlines()

    assert lines[0] == "suite.yaml: right, 1 test"
    assert "  closed model: 10 users × 100 iterations = 1,000 requests" in lines
    assert "PASSED" in lines
    assert len(list((folder / "results").glob("2*"))) == 1
    document = json.loads((folder / "results" / "latest" / "results.json").read_text())
    assert document["results"]["get_user_profile"]["total_requests"] == 1000


def test_the_schemas_are_written(folder: Path) -> None:
    shell("perfcore schema > suite.schema.json", folder)
    shell(command_with("schema --result"), folder)
    for name in ("suite", "result"):
        assert json.loads((folder / f"{name}.schema.json").read_text())["title"] == f"perfcore {name}"


def test_the_variable_of_an_option_that_may_be_repeated_is_written_as_the_shell_wants_it(
    folder: Path,
) -> None:
    (twin,) = re.findall(r"`(PERFCORE_VAR=[^`]+)`", README)
    (folder / "suite.yaml").write_text((folder / "suite.yaml").read_text().replace("/users", "/${TENANT}"))
    assert shell(f"{twin} perfcore validate suite.yaml", folder) == "suite.yaml: right, 1 test\n"


def test_the_percentiles_of_make_run_are_where_the_readme_looks_for_them(folder: Path) -> None:
    query = re.fullmatch(r"jq '\.(\S+)' (\S+)", command_with("jq "))
    assert query
    shell(f"perfcore {TOUR} --only get_user --quiet", folder)
    value = json.loads((folder / query[2]).read_text())
    for key in query[1].split("."):
        value = value[key]
    assert value["p95"] > 0


def test_the_python_example_works(folder: Path, target: TargetProcess) -> None:
    (example,) = blocks("python")
    assert SERVER in example
    (folder / "example.py").write_text(example.replace(SERVER, target.url))
    lines = shell(f"{shlex.quote(sys.executable)} example.py", folder).splitlines()
    assert re.fullmatch(r"Average response time: \d+\.\d+ms", lines[0])
    assert re.fullmatch(r"95th percentile: \d+\.\d+ms", lines[1])
    assert (folder / "results" / "latest" / "results.json").is_file()


def test_every_route_of_the_target_is_listed() -> None:
    table = README[README.index("| route |") : README.index("## From Python")]
    assert list(dict.fromkeys(re.findall(r"`/([\w-]+)[^`|]*`(?=[,`/\w ]* \|)", table))) == list(ROUTES)
