"""`perfcore validate` and `perfcore schema`."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml
from perfcore_command import ROOT, complaint, perfcore

TOUR = ROOT / "config" / "test_config.yaml"
RIGHT = """\
test_suite:
  name: small
  base_url: http://127.0.0.1:9
  environments:
    staging: {base_url: "http://127.0.0.1:8"}
  tests:
    - name: One
      endpoint: /${WHO}
"""
WRONG = """\
test_suite:
  name: small
  base_url: http://127.0.0.1:9
  tests:
    - name: One
      endpoint: /one
      methud: GET
    - name: Two
      endpoint: /two
      method: FETCH
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "right.yaml").write_text(RIGHT)
    (tmp_path / "wrong.yaml").write_text(WRONG)
    return tmp_path


def test_a_right_suite_is_told_on_stdout(folder: Path) -> None:
    done = perfcore("validate", "right.yaml", "--var", "WHO=me", "--env", "staging", cwd=folder)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "right.yaml: right, 1 test\n"


def test_every_mistake_is_told_with_file_line_and_column(folder: Path) -> None:
    done = perfcore("validate", "wrong.yaml", cwd=folder)

    assert (done.returncode, done.stdout) == (104, "")
    places = [re.match(r"wrong\.yaml:(\d+):(\d+): ", line) for line in done.stderr.splitlines()]
    assert [place and (int(place[1]), int(place[2])) for place in places] == [(7, 7), (10, 7)]
    assert "'method'" in done.stderr.splitlines()[0]
    assert "'FETCH'" in done.stderr.splitlines()[1]


def test_a_run_of_a_wrong_suite_tells_the_same(folder: Path) -> None:
    checked, run = perfcore("validate", "wrong.yaml", cwd=folder), perfcore("wrong.yaml", cwd=folder)

    assert (run.returncode, run.stdout, run.stderr) == (104, "", checked.stderr)
    assert not (folder / "results").exists()


def test_one_wrong_suite_of_several_decides_the_exit_code_and_hides_none(folder: Path) -> None:
    done = perfcore("validate", "wrong.yaml", "right.yaml", "nowhere.yaml", cwd=folder, PERFCORE_VAR="WHO=me")

    assert done.returncode == 104
    assert done.stdout == "right.yaml: right, 1 test\n"
    assert "wrong.yaml:7:7: " in done.stderr
    assert "nowhere.yaml: cannot be read" in done.stderr


@pytest.mark.parametrize("command", [["validate"], ["run", "--dry-run"]])
def test_a_body_that_is_sent_with_get_for_want_of_a_method_is_warned_of(
    command: list[str], folder: Path
) -> None:
    (folder / "body.yaml").write_text(RIGHT.replace("/${WHO}", "/\n      json: {a: 1}"))

    done = perfcore(*command, "body.yaml", cwd=folder)

    assert done.returncode == 0
    assert done.stderr == (
        "perfcore: body.yaml: test 'One': a body, and no method: it is sent with GET; "
        "write method: POST, or GET if that is meant\n"
    )


def test_a_variable_that_nobody_gives_is_a_mistake(folder: Path) -> None:
    assert re.match(
        r"right\.yaml:8:\d+: .*WHO", complaint(perfcore("validate", "right.yaml", cwd=folder), 104)
    )


def test_an_environment_that_the_suite_lacks_is_a_mistake(folder: Path) -> None:
    done = perfcore("validate", "right.yaml", "--env", "stagin", "--var", "WHO=me", cwd=folder)

    line = complaint(done, 104)
    assert "'stagin'" in line
    assert "staging" in line


def test_a_suite_from_standard_input_is_checked() -> None:
    done = perfcore("validate", "-", stdin=TOUR.read_text())

    assert (done.returncode, done.stdout) == (0, "-: right, 6 tests\n")


def test_the_schema_is_one_that_accepts_the_tour_and_refuses_a_wrong_suite() -> None:
    done = perfcore("schema")

    assert (done.returncode, done.stderr) == (0, "")
    schema = json.loads(done.stdout)
    validator = jsonschema.validators.validator_for(schema)
    validator.check_schema(schema)
    assert list(validator(schema).iter_errors(yaml.safe_load(TOUR.read_text()))) == []
    assert list(validator(schema).iter_errors(yaml.safe_load(WRONG)))


def test_the_schema_of_results_is_printed_when_it_is_asked_for() -> None:
    done = perfcore("schema", "--result")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ROOT / "perfcore" / "report" / "result.schema.json").read_text()
    assert perfcore("schema", PERFCORE_RESULT="1").stdout == done.stdout
