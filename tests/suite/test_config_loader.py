"""Loading suite files: what they come to, and every mistake with its place."""

import time
from pathlib import Path

import pytest

from perfcore.errors import ExitCode, SuiteError
from perfcore.suite.config_loader import load_suite

from .suites import SEED, suite


def load(text, *, environ=None, **options):
    return load_suite(
        "-", stdin=text.encode() if isinstance(text, str) else text, environ=environ or {}, **options
    )


def mistakes(text, **options):
    with pytest.raises(SuiteError) as caught:
        load(text, **options)
    assert caught.value.exit_code == ExitCode.WRONG_SUITE
    return list(caught.value.mistakes)


def test_the_example_of_the_original_design_runs_unchanged():
    loaded = load(SEED, environ={"TOKEN": "t"})
    (case,) = loaded.tests
    assert (loaded.name, loaded.base_url, loaded.mode) == (
        "API Performance Test Suite",
        "https://api.example.com",
        "sequential",
    )
    assert (case.key, case.endpoint, case.method) == ("get_user_profile", "/users/profile", "GET")
    assert (case.parallel_users, case.iterations, case.timeout_s) == (10, 100, 30.0)
    assert case.headers == {"Authorization": "Bearer ${TOKEN}"}


def test_a_name_that_nothing_supplies_is_told_before_the_first_request():
    assert mistakes(SEED) == [
        "stdin:9:9: tests[0].headers.Authorization: 'TOKEN' is not set; give --var TOKEN=…, "
        "the environment variable TOKEN, or variables: in the suite"
    ]


def test_a_suite_comes_from_a_file_and_knows_it(tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(SEED.replace("FETCH", "GET"))
    assert load_suite(path, environ={"TOKEN": "t"}).source == path
    path.write_text(SEED.replace('"GET"', "FETCH"))
    with pytest.raises(SuiteError) as caught:
        load_suite(str(path), environ={"TOKEN": "t"})
    assert caught.value.mistakes == (
        f"{path}:7:7: tests[0].method: 'FETCH' is not one of GET, POST, PUT, PATCH, DELETE, HEAD, OPTIONS, TRACE",
    )


def test_values_come_from_var_environment_suite_and_process_in_this_order():
    text = suite(
        head="base_url: http://${HOST}\nvariables: {HOST: suite, A: suite, B: suite}\n"
        "environments: {staging: {variables: {HOST: staging, A: staging}}}"
    )
    environ = {"HOST": "process", "A": "process", "C": "process"}
    assert load(text, environ=environ).base_url == "http://suite"
    assert load(text, environ=environ, env="staging").base_url == "http://staging"
    assert load(text, environ=environ, env="staging", variables={"HOST": "given"}).base_url == "http://given"
    scope = load(text, environ=environ, env="staging").scope
    assert [scope.lookup(name) for name in "ABC"] == ["staging", "suite", "process"]


def test_a_setting_that_is_exactly_one_reference_is_read_as_its_value():
    (case,) = load(
        suite(
            "- {name: A, endpoint: /a, parallel_users: '${USERS:-10}', keepalive: '${K}', timeout: '${T}ms'}"
        ),
        environ={"K": "false", "T": "500"},
    ).tests
    assert (case.parallel_users, case.keepalive, case.timeout_s) == (10, False, 0.5)


def test_texts_of_the_request_stay_templates():
    (case,) = load(
        suite(
            "- {name: '${N}', endpoint: '/${N}$$', params: {a: ['${N}']}, json: ['${N}'], description: '$$${N}'}"
        ),
        variables={"N": "n"},
    ).tests
    assert (case.name, case.description) == ("n", "$n")
    assert (case.endpoint, case.params, case.json_body) == ("/${N}$$", {"a": ["${N}"]}, ["${N}"])


def test_where_text_is_wanted_scalars_are_taken_as_written():
    (case,) = load(
        suite(
            "- {name: 1.10, endpoint: /a, headers: {V: 1.10, F: True}, form: {a: 007, b: no, c: 2024-12-02, d: 1:30}}"
        )
    ).tests
    assert (case.name, case.headers) == ("1.10", {"V": "1.10", "F": "True"})
    assert case.form == {"a": "007", "b": "no", "c": "2024-12-02", "d": "1:30"}


def test_defaults_lie_under_each_test():
    head = (
        "base_url: http://h\n"
        "defaults: {timeout: 5s, headers: {Accept: a, X: d}, params: {p: 1}, expect: {status: 200},\n"
        "  body: d, iterations: 3}"
    )
    tests = """\
- {name: plain, endpoint: /a}
- {name: own, endpoint: /a, timeout: 1s, headers: {accept: b}, params: {q: 2},
   expect: {max_time: 1s}, json: 1, total_iterations: 9}
"""
    plain, own = load(suite(tests, head)).tests
    assert (plain.timeout_s, plain.headers, plain.params, plain.body) == (
        5,
        {"Accept": "a", "X": "d"},
        {"p": "1"},
        "d",
    )
    assert (own.timeout_s, own.headers, own.params) == (1, {"X": "d", "accept": "b"}, {"p": "1", "q": "2"})
    assert own.expect.status.text == "2xx"  # expect is replaced whole
    assert (own.body, own.json_body, own.iterations, own.total_iterations) == (None, 1, None, 9)


def test_a_tests_authorization_displaces_that_of_the_defaults():
    head = "base_url: http://h\ndefaults: {auth: {type: bearer, token: t}}"
    assert load(suite("- {name: A, endpoint: /, headers: {authorization: x}}", head)).tests[0].auth is None
    head = "base_url: http://h\ndefaults: {headers: {Authorization: x}}"
    assert (
        load(suite("- {name: A, endpoint: /, auth: {type: bearer, token: t}}", head)).tests[0].headers == {}
    )


def test_an_environment_goes_over_the_suite():
    head = """\
base_url: http://h
tags: {a: 1, b: 1}
secrets: [X]
defaults: {timeout: 5s, headers: {A: suite, B: suite}}
environments:
  staging: {base_url: 'http://staging', mode: parallel, tags: {b: 2}, secrets: [Y],
            defaults: {timeout: 9s, headers: {B: staging}}}
"""
    loaded = load(suite(head=head), env="staging", tags={"c": "3"})
    assert (loaded.base_url, loaded.mode, loaded.secrets) == ("http://staging", "parallel", ("X", "Y"))
    assert loaded.tags == {"a": "1", "b": "2", "c": "3"}
    assert loaded.tests[0].timeout_s == 9
    assert loaded.tests[0].headers == {"A": "suite", "B": "staging"}
    assert load(suite(head=head)).base_url == "http://h"


def test_relative_paths_start_at_the_suite_file(tmp_path):
    (tmp_path / "body.bin").write_bytes(b"x")
    (tmp_path / "token").write_text("secret\n")
    path = tmp_path / "suite.yaml"
    path.write_text(
        suite(
            "- {name: A, endpoint: /, body_file: body.bin, headers: {A: '${file:token}'}, tls: {ca: token}}"
        )
    )
    loaded = load_suite(path, environ={})
    assert loaded.tests[0].body_file == tmp_path / "body.bin"
    assert loaded.tests[0].tls.ca == tmp_path / "token"
    assert loaded.scope.used_files == {"token": "secret"}


@pytest.mark.parametrize(
    ("head", "line"),
    [
        (
            "base_url: ftp://h",
            "stdin:3:3: base_url: 'ftp://h' is not an absolute URL; write http://… or https://…, or",
        ),
        ("base_url: http://", "stdin:3:3: base_url: 'http://' has no host or no usable port"),
        ("base_url: http://h:99999", "stdin:3:3: base_url: 'http://h:99999' is not a URL: its host or port"),
        ("base_url: 'http://h/ x'", "stdin:3:3: base_url: 'http://h/ x' holds a space"),
        ("base_url: http://h/?a=b", "stdin:3:3: base_url: 'http://h/?a=b' has a query"),
        (
            "base_url: http://${uuid()}",
            "stdin:3:3: base_url: 'http://${uuid()}' is different for each request",
        ),
        ("base_url: http://${H}", "stdin:3:3: base_url: 'H' is not set"),
        ("mode: both", "stdin:3:3: mode: 'both' is not one of sequential, parallel"),
        ("thresholds: [p95 < 1s]", "stdin:3:3: thresholds: 'thresholds' is not supported yet"),
        ("hooks: h.py", "stdin:3:3: hooks: 'hooks' is not supported yet"),
        ("source: x", "stdin:3:3: source: unknown key 'source'; the keys here are name"),
        ("variables: [A]", "stdin:3:3: variables: a list is not a mapping of names to values"),
        ("variables: {'a b': 1}", 'stdin:3:15: variables["a b"]: is no name'),
        ("variables: {A: '${B}', B: '${A}'}", "stdin:3:15: variables.A: 'A' refers to itself: A → B → A"),
        ("secrets: X", "stdin:3:3: secrets: 'X' is not a list; write ['X']"),
        ("defaults: 7", "stdin:3:3: defaults: 7 is not a mapping"),
        ("defaults: {name: A}", "stdin:3:14: defaults.name: every test has a name of its own"),
        ("defaults: {timeout: x}", "stdin:3:14: defaults.timeout: 'x' is not a duration"),
        ("defaults: {steps: []}", "stdin:3:14: defaults.steps: 'steps' is not supported yet"),
        ("environments: {a: 7}", "stdin:3:18: environments.a: 7 is not a mapping"),
        (
            "environments: {a: {basse_url: x}}",
            "environments.a.basse_url: unknown key 'basse_url'; did you mean 'base_url'?",
        ),
        ("environments: {a: {tests: []}}", "environments.a.tests: cannot differ between environments"),
        (
            "environments: {a: {defaults: {timout: 1}}}",
            "environments.a.defaults.timout: unknown key 'timout'; did you",
        ),
        ("name: T", "stdin:3:3: name: is given twice, first on line 2"),
    ],
)
def test_a_mistake_of_the_suite_is_told_at_its_place(head, line):
    endpoint = "http://h/a"
    told = mistakes(suite(f"- {{name: A, endpoint: '{endpoint}'}}", head))
    assert any(line in entry for entry in told), told


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("timeout: 5, timeout_s: 7", "tests[0].timeout_s: unknown key 'timeout_s'; did you mean 'timeout'?"),
        ("expect: {json_conditions: {}}", "tests[0].expect.json_conditions: unknown key 'json_conditions'"),
        ("iterations: '${N}'", "tests[0].iterations: 'N' is not set"),
        ("iteratons: '${N}'", "tests[0].iteratons: unknown key 'iteratons'; did you mean 'iterations'?"),
        ("headers: {A: '${N}'}", "stdin:5:40: tests[0].headers.A: 'N' is not set"),
        ("headers: {A: '${NL}'}", "tests[0].headers.A: a header's value cannot hold a line break"),
        ("json: [{a: '${uid()}'}]", "tests[0].json[0].a: there is no function 'uid'; did you mean 'uuid'?"),
        ("json: .nan", "tests[0].json: nan is not a number that JSON can hold"),
        ("auth: {type: bearer, token: '${N}'}", "tests[0].auth.token: 'N' is not set"),
        ("body_file: nowhere.bin", "tests[0].body_file: there is no file 'nowhere.bin'"),
        ("expect: {body_matches: '('}", "tests[0].expect.body_matches: '(' is not a regular expression"),
        ("expect: {json: {'$.a[': 1}}", "tests[0].expect.json[\"$.a[\"]: '$.a[' is not a JSONPath"),
    ],
)
def test_a_mistake_of_a_test_is_told_at_its_place(keys, line):
    (told,) = mistakes(
        suite(f"- {{name: A, endpoint: /, {keys}}}", "base_url: http://h"), environ={"NL": "a\nb"}
    )
    assert line in told


@pytest.mark.parametrize(
    ("head", "endpoint", "told"),
    [
        (
            "mode: parallel",
            "/a",
            "'/a' is only a path; give the suite a base_url, or write http://… or https://… here",
        ),
        ("mode: parallel", "/a/${user()}", "'/a/' is only a path"),
        ("base_url: http://h", "ftp://x/${user()}", "is neither http nor https"),
        ("base_url: http://h", "${SCHEME}://x", "'gopher://x' is neither http nor https"),
        ("base_url: http://h", "http:///a", "'http:///a' has no host or no usable port"),
        (
            "base_url: http://h",
            "/a b",
            "holds a space or a control character; in a URL a space is written %20",
        ),
    ],
)
def test_an_endpoint_leads_to_an_http_server(head, endpoint, told):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: '{endpoint}'}}", head), environ={"SCHEME": "gopher"})
    assert f"tests[0].endpoint: {told}" in line or told in line


def test_absolute_endpoints_need_no_base_url():
    loaded = load(
        suite(
            "- {name: A, endpoint: 'https://h/${user()}'}\n- {name: B, endpoint: '${U}/x'}", "mode: parallel"
        ),
        environ={"U": "http://h"},
    )
    assert loaded.base_url == ""


def test_embedded_is_a_base_url():
    assert load(suite(head="base_url: embedded")).base_url == "embedded"


def test_two_tests_with_one_result_key_are_a_mistake():
    (told,) = mistakes(suite("- {name: Get A, endpoint: /}\n- {name: get-a, endpoint: /}"))
    assert (
        told
        == "stdin:6:8: tests[1].name: 'get-a' has the result key 'get_a', as tests[0] 'Get A' has; rename one"
    )


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file():
    text = """\
test_suite:
  nam: x
  base_url: ftp://x
  defaults: {timeout: -1}
  variables: {A: "${NOPE}"}
  tests:
    - {name: A, endpoint: "/${A}", method: FETCH}
    - {name: a, endpoint: "/${TOKEN}", timeout: 3, timeout: 4}
    - 7
"""
    told = mistakes(text, env="prod")
    assert [line.split(": ")[:2] for line in told] == [
        ["stdin:1:1", "environments"],
        ["stdin:1:1", "name"],
        ["stdin:2:3", "nam"],
        ["stdin:3:3", "base_url"],
        ["stdin:4:14", "defaults.timeout"],
        ["stdin:5:15", "variables.A"],
        ["stdin:7:36", "tests[0].method"],
        ["stdin:8:8", "tests[1].name"],
        ["stdin:8:17", "tests[1].endpoint"],
        ["stdin:8:52", "tests[1].timeout"],
        ["stdin:9:7", "tests[2]"],
    ]


def test_an_unknown_environment_names_the_choices():
    text = suite(head="base_url: http://h\nenvironments: {staging: {}, prod: {}}")
    (told,) = mistakes(text, env="stagin")
    assert told.endswith(
        "there is no environment 'stagin'; choose one of staging, prod; did you mean 'staging'?"
    )
    (told,) = mistakes(suite(), env="x")
    assert told.endswith("there is no environment 'x'; the suite has none")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "stdin: is empty; a suite file starts with test_suite:"),
        (b"# nothing\n", "stdin:1:1: a suite file starts with the key test_suite"),
        (b" \n\n", "stdin: is empty"),
        (b"\x7fELF\0\0", "stdin: is a binary file; a suite file is YAML"),
        (b"a: b\nc: \xff", "stdin:2:4: is not UTF-8 text; a suite file is YAML"),
        (b"x" * 5_000_001, "stdin: is larger than 5 MB; that is no suite file"),
        (b"- a", "stdin:1:1: a suite file starts with the key test_suite"),
        (b"testsuite: {}", "stdin:1:1: a suite file starts with the key test_suite, not with 'testsuite'"),
        (
            b"test_suite:",
            "stdin:1:1: test_suite: null is not a mapping; write name: …, base_url: … and tests: under it",
        ),
        (b"test_suite: {name: A, tests: []}\nx: 1", "stdin:2:1: unknown key 'x' beside test_suite"),
        (b"test_suite: {name: A, tests: []}", "stdin:1:23: tests: is empty; a suite has at least one test"),
        (b"test_suite: {name: A, tests: 1}", "stdin:1:23: tests: 1 is not a list of tests"),
        (b"test_suite: {name: A}", "stdin:1:1: tests: is missing"),
        (b"test_suite: [" * 1000, "is nested more than 100 deep"),
        (b"test_suite: {a: *x}", "*x stands for nothing"),
    ],
)
def test_what_is_no_suite_is_told_quickly(content, told):
    start = time.perf_counter()
    assert any(told in line for line in mistakes(content))
    assert time.perf_counter() - start < 2


def test_a_byte_order_mark_and_windows_line_ends_are_taken():
    assert (
        load(b"\xef\xbb\xbf" + SEED.replace("\n", "\r\n").encode(), environ={"TOKEN": "t"}).tests[0].timeout_s
        == 30
    )


@pytest.mark.parametrize(
    ("path", "told"), [("/nowhere/s.yaml", "No such file"), ("/", "directory"), ("a\0b", "null")]
)
def test_a_file_that_cannot_be_read_is_told(path, told):
    with pytest.raises(SuiteError, match=told):
        load_suite(path)


def test_the_process_environment_is_used_when_none_is_given(monkeypatch):
    monkeypatch.setenv("TOKEN", "from the process")
    loaded = load_suite("-", stdin=SEED.encode())
    assert loaded.scope.lookup("TOKEN") == "from the process"
    assert loaded.source is None
    assert loaded.scope.directory == Path()
