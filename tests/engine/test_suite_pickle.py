"""A suite arrives in another process as it was, or is refused with a reason."""

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest
from suite.suites import RICH

from perfcore.engine.suite_pickle import pack, unpack
from perfcore.errors import UsageError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.secrets import Masker
from perfcore.suite.template import compile_text
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

ROOT = Path(__file__).resolve().parent.parent.parent


class Word(str):
    """A text of a class that another process does not have."""

    __slots__ = ()

    def __str__(self) -> str:
        return "another text"


class Ratio(float):
    pass


class Count(int):
    def __str__(self) -> str:
        return "many"


class Raw(bytes):
    pass


class Own:
    pass


class OwnCase(TestCase):
    pass


def of_variables(**variables: object) -> TestSuite:
    case = TestCase(name="a", endpoint="http://127.0.0.1/")
    return TestSuite(name="s", variables=variables, tests=[case])


def arrived(suite: TestSuite) -> TestSuite:
    result = unpack(pack(suite))
    assert isinstance(result, TestSuite)
    return result


def test_a_suite_with_everything_arrives_whole(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(RICH)
    suite = load_suite(path, env="st", variables={"B": "given"})
    copy = arrived(suite)
    masker = Masker.for_suite(suite)
    assert effective_suite(copy, masker) == effective_suite(suite, masker)
    assert [repr(case) for case in copy.tests] == [repr(case) for case in suite.tests]
    assert copy.source == path
    (check,) = copy.tests[0].expect.json_conditions
    assert check.broken_by({"a": [1]}) is None
    assert check.broken_by({"a": [0]}) is not None


EVERY_OPTION = """
test_suite:
  name: s
  base_url: http://h
  limits: {max_rate: 100/s, max_users: 50, max_duration: 1m, abort_on_error_rate: 50%}
  defaults: {cookies: true, follow_redirects: true, max_redirects: 3, compressed: true}
  tests:
    - {name: digest, endpoint: /a, auth: {type: digest, username: u, password: p}, percentiles: [75], retries: 2,
       retry_on: [connect, 5xx], retry_backoff: 1s, http_version: 1.1}
    - {name: aws, endpoint: /a, auth: {type: aws_sigv4, access_key: a, secret_key: s, region: r, service: x}}
    - {name: files, endpoint: /a, method: POST, multipart: {fields: {a: [b, c]}, files: {f: body.txt}}}
    - {name: way, endpoint: /a, resolve: {h: 127.0.0.1}, dns: {select: round_robin}, local_addresses: [127.0.0.2],
       preconnect: true}
    - {name: proxy, endpoint: /a, proxy: "http://u:p@127.0.0.1:3128", expect: {body_matches: 'a+b', status: [200, 3xx]}}
    - {name: socket, endpoint: /a, unix_socket: some.sock, tls: {verify: false}, think_time: {min: 1ms, max: 2ms}}
"""


def test_every_option_of_a_request_arrives(tmp_path: Path) -> None:
    (tmp_path / "body.txt").write_text("content")
    path = tmp_path / "suite.yaml"
    path.write_text(EVERY_OPTION)
    suite = load_suite(path)
    copy = arrived(suite)
    masker = Masker.for_suite(suite)
    assert effective_suite(copy, masker) == effective_suite(suite, masker)
    assert copy.limits == suite.limits
    for case, original in zip(copy.tests, suite.tests, strict=True):
        for field in TestCase.model_fields:
            assert getattr(case, field) == getattr(original, field), field


def test_names_are_looked_up_as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_ENVIRON", "e")
    (tmp_path / "token").write_text("f\n")
    path = tmp_path / "suite.yaml"
    path.write_text(
        "test_suite:\n  name: s\n  base_url: http://h\n  variables: {V: '${uuid()}', W: '${FROM_ENVIRON}'}\n"
        "  tests: [{name: a, endpoint: '/${W}/${GIVEN}/${V}', headers: {X: '${file:token}'}}]\n"
    )
    suite = load_suite(path, variables={"GIVEN": "g"})
    suite.check()
    (tmp_path / "token").unlink()
    monkeypatch.setenv("FROM_ENVIRON", "another")
    scope = arrived(suite).scope
    assert compile_text("${W}${GIVEN}${file:token}", scope).constant == "egf"
    assert compile_text("${V}", scope).constant is None
    assert (scope.used_environ, scope.used_files) == (suite.scope.used_environ, suite.scope.used_files)


def test_texts_and_numbers_of_a_callers_class_arrive_plain() -> None:
    sent = {"WORD": Word("live"), "LIST": [Ratio(0.5), Count(3), Raw(b"r")]}
    variables = arrived(of_variables(**sent)).variables
    assert variables == {"WORD": "live", "LIST": [0.5, 3, b"r"]}
    assert type(variables["WORD"]) is str
    assert [type(value) for value in variables["LIST"]] == [float, int, bytes]


def test_values_of_the_standard_library_arrive() -> None:
    assert arrived(of_variables(D=date(2026, 1, 2))).variables == {"D": date(2026, 1, 2)}


@pytest.mark.parametrize(
    ("value", "named"),
    [(Own(), "Own"), (Own, "Own"), (of_variables, "of_variables"), (lambda: 0, "lambda")],
)
def test_a_value_that_only_the_caller_knows_is_refused(value: object, named: str) -> None:
    with pytest.raises(UsageError, match=named):
        pack(of_variables(V=value))


def test_a_test_of_a_callers_class_is_refused() -> None:
    suite = TestSuite(name="s", tests=[OwnCase(name="a", endpoint="http://127.0.0.1/")])
    with pytest.raises(UsageError, match=r"OwnCase.* several threads"):
        pack(suite)


def test_what_no_process_can_send_is_refused() -> None:
    with pytest.raises(UsageError, match="generator"):
        pack(of_variables(V=(number for number in ())))


def test_nothing_of_the_callers_is_imported_to_read_it() -> None:
    packed = pack(of_variables(WORD=Word("live")))
    program = (
        "import sys\n"
        "from perfcore.engine.suite_pickle import unpack\n"
        "suite = unpack(sys.stdin.buffer.read())\n"
        "assert suite.variables == {'WORD': 'live'}, suite.variables\n"
        "assert not [name for name in sys.modules if 'test_suite_pickle' in name]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=packed, cwd=ROOT, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr.decode()
