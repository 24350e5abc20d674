"""What people, generators and attackers put into a suite: a clear line with its place, and never a long wait."""

import time

import pytest

from perfcore.errors import ExitCode, PerfcoreError, SuiteError, UsageError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

from .suites import suite

# Of processor time; each takes a second at most on an idle machine, most a few milliseconds.
LONGEST_S = 8.0
HEAD = "test_suite:\n  name: S\n  base_url: http://h\n"
ONE_TEST = "  tests: [{name: A, endpoint: /a}]\n"


def mistakes(text: str | bytes, **options) -> list[str]:
    content = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    start = time.process_time()
    with pytest.raises(SuiteError) as caught:
        load_suite("-", stdin=content, environ={}, **options)
    assert time.process_time() - start < LONGEST_S
    assert caught.value.exit_code == ExitCode.WRONG_SUITE
    assert all(line.isprintable() and len(line) < 1000 for line in caught.value.mistakes)
    return list(caught.value.mistakes)


def variables(count: int, value: str, last: str = "x") -> str:
    """A0 to A<count>, each made of the next one."""
    lines = [f"    A{number}: {value.replace('NEXT', f'${{A{number + 1}}}')}\n" for number in range(count)]
    tests = "  tests: [{name: A, endpoint: /a, json: '${A0}'}]\n"
    return f"{HEAD}  variables:\n{''.join(lines)}    A{count}: {last}\n{tests}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        # Ten aliases of ten aliases of …
        (
            "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
            + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)),
            "the file comes to more than 100,000 values, aliases expanded",
        ),
        (
            "m0: &m0 {a: 1, b: 2}\n"
            + "".join(f"m{n}: &m{n} {{a: *m{n - 1}, b: *m{n - 1}}}\n" for n in range(1, 60)),
            "the file comes to more than 100,000 values, aliases expanded",
        ),
        (
            f"x: &x {{{', '.join(f'k{n}: 1' for n in range(1000))}}}\ny: {{{', '.join(['<<: *x'] * 60)}}}\n",
            "the file comes to more than 100,000 values, aliases expanded",
        ),
        (
            f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 60)}]\n",
            "the file comes to more than 100,000 values, aliases expanded",
        ),
        (f"{HEAD}  x: [{'1,' * 200_000}]\n", "the file comes to more than 100,000 values"),
        (f"{HEAD}  x: '{'${A}' * 1_000_000}'\n", "the file comes to more than 100,000 values"),
        (f"{HEAD}  x: {'[' * 5000}\n", "is nested more than 100 deep"),
        (f"{HEAD}  x: {'{a: ' * 5000}\n", "is nested more than 100 deep"),
        ("- " * 100_000, "is nested more than 100 deep"),
        ("? " * 100_000, "is nested more than 100 deep"),
        ("&a [*a]", "*a stands inside what it stands for"),
    ],
)
def test_what_explodes_when_it_is_read_is_told(text, told):
    (line,) = mistakes(text)
    assert told in line


@pytest.mark.parametrize(
    ("value", "last"),
    [
        ("[" + ", ".join(["'NEXT'"] * 10) + "]", "x"),
        ("[" + ", ".join(["'NEXT'"] * 10) + "]", "'${user()}'"),
        ("{a: 'NEXT', b: 'NEXT', c: 'NEXT'}", "x"),
        ("'" + "NEXT" * 10 + "'", "x"),
        ("'" + "${B:-NEXTNEXT}" * 5 + "'", "x"),
        ("'NEXTNEXT" + "x" * 1000 + "'", "x"),
    ],
)
def test_variables_that_explode_are_told_at_the_variable(value, last):
    told = mistakes(variables(40, value, last))

    assert told[0].startswith("stdin:5:5: variables.A0: becomes larger than 10 MB with its variables")
    assert all("variables.A" in line for line in told)


def test_large_variables_in_many_tests_are_told_at_the_test_that_is_too_many():
    tests = "".join(f"    - {{name: T{n}, endpoint: /a, body: '{n}${{B}}'}}\n" for n in range(500))
    told = mistakes(f"{HEAD}  variables: {{B: {'x' * 4_000_000}}}\n  tests:\n{tests}")

    assert told[0].endswith("the texts of the suite become larger than 100 MB with their variables")
    assert told[0].startswith("stdin:29:33: tests[23].body: ")


@pytest.mark.parametrize("defaults", [f"body: {'x' * 4_000_000}", f"json: [{'1, ' * 5000}]"])
def test_large_defaults_of_many_tests_are_told_at_the_defaults(defaults):
    tests = "".join(f"    - {{name: T{n}, endpoint: /a}}\n" for n in range(2000))
    told = mistakes(f"{HEAD}  defaults: {{{defaults}}}\n  tests:\n{tests}")

    assert told[0].startswith("stdin:4:")
    assert "defaults" in told[0]
    assert told[0].endswith("come to more than 60,000 values under 2,000 tests")


def test_many_variables_that_refer_to_each_other_are_told_quickly():
    every = "".join(f"${{A{number}}}" for number in range(100))
    lines = "".join(f"    A{number}: '{every}'\n" for number in range(100))
    told = mistakes(f"{HEAD}  variables:\n{lines}{ONE_TEST}")

    assert told[0] == "stdin:5:5: variables.A0: 'A0' refers to itself: A0 → A0"


def test_a_circle_through_an_environment_is_told_where_it_was_written():
    text = f"""\
{HEAD}  variables: {{A: "${{B}}", B: b}}
  environments:
    round: {{variables: {{B: "${{C:-${{A}}}}"}}}}
{ONE_TEST}"""

    assert load_suite("-", stdin=text.encode(), environ={}).scope.lookup("A") == "b"
    assert mistakes(text, env="round") == [
        "stdin:4:15: variables.A: 'A' refers to itself: A → B → A",
        "stdin:6:25: environments.round.variables.B: 'A' refers to itself: A → B → A",
    ]


def test_a_long_circle_is_told_by_its_beginning():
    lines = "".join(f"    A{number}: '${{A{(number + 1) % 40}}}'\n" for number in range(40))
    told = mistakes(f"{HEAD}  variables:\n{lines}{ONE_TEST}")

    assert told[0].endswith("'A0' refers to itself: A0 → A1 → A2 → A3 → A4 → A5 → A6 → A7 → A8 → A9 → … → A0")
    assert len(told) == 40


@pytest.mark.parametrize(
    ("tests", "first"),
    [
        (
            "- name: A\n  endpoint: /a\n" + "".join(f"  key{n}: 1\n" for n in range(10_000)),
            "stdin:7:7: tests[0].key0: unknown key 'key0'",
        ),
        (
            "- name: A\n  endpoint: /a\n  json:\n" + "".join(f"  - ${{N{n}}}\n" for n in range(10_000)),
            "stdin:8:9: tests[0].json[0]: 'N0' is not set",
        ),
        (
            "- name: A\n  endpoint: /a\n  headers:\n" + "".join(f"    h{n}: []\n" for n in range(10_000)),
            "stdin:8:9: tests[0].headers.h0: a list is not text",
        ),
        (
            "- name: A\n" + "  endpoint: /a\n" * 10_001,
            "stdin:7:7: tests[0].endpoint: is given twice, first on line 6; remove one of them",
        ),
        (
            "- name: A\n  endpoint: /a\n  json:\n" + "  - !x 1\n" * 10_000,
            "stdin:8:9: tests[0].json[0]: the tag '!x' is not supported",
        ),
    ],
)
def test_of_ten_thousand_mistakes_the_first_hundred_are_told_and_how_many_more_there_are(tests, first):
    told = mistakes(suite(tests))

    assert len(told) == 101
    assert told[0].startswith(first)
    assert told[-1].endswith(": … and 9,900 more mistakes from here on")
    last_line = int(told[-2].split(":")[1])
    assert int(told[-1].split(":")[1]) == last_line + 1


def test_mistakes_of_python_are_bounded_too():
    with pytest.raises(SuiteError) as caught:
        TestSuite(name="S", tests=[{"name": f"T{number}"} for number in range(1000)])

    assert len(caught.value.mistakes) == 101
    assert caught.value.mistakes[-1] == "TestSuite 'S': … and 900 more mistakes"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\xef\xbb\xbf\xc3\xbc: \xff", "stdin:1:4: is not UTF-8 text"),
        ("a: ü\r\nb: ".encode() + b"\xff", "stdin:2:4: is not UTF-8 text"),
        (b"a: \xed\xa0\x80", "stdin:1:4: is not UTF-8 text"),
        ("test_suite: {name: S}".encode("utf-16"), "stdin:1:1: is not UTF-8 text"),
        (b"a: b\0", "stdin: is a binary file"),
        (b"a: \x1b[2J", "stdin:1:4: the control character 0x1b is not text"),
        (b"a: 1\r\nb: \x7f", "stdin:2:4: the control character 0x7f is not text"),
        (b"a: 1\rb: \x07", "stdin:2:4: the control character 0x07 is not text"),
        ("a: 1\u2028b: \x07".encode(), "stdin:2:4: the control character 0x07 is not text"),
        (b"test_suite:\n\tname: S", "stdin:2:1: is not YAML: found character that cannot start any token; indent"),
        (b"test_suite: {name: S", "is not YAML: did not find expected"),
        (b"test_suite: |", "test_suite: '' is not a mapping"),
        (b"test_suite: !!python/object/apply:os.system ['true']", "the tag 'tag:yaml.org,2002:python/object/apply"),
        (b"%TAG ! tag:x,2000:\n---\ntest_suite: !y {}", "the tag 'tag:x,2000:y' is not supported"),
        (b"test_suite: {? [a, b] : 1}", "a key must be text"),
        (b"test_suite: {? {a: b} : 1}", "a key must be text"),
        (b"test_suite: {1: 2, null: 3, true: 4}", "unknown key '1'"),
        (b"? test_suite\n: 1\n", "test_suite: 1 is not a mapping"),
        (b"test_suite: {a: *nothing}", "*nothing stands for nothing; there is no &nothing before it"),
        (b"test_suite: *" + b"n" * 5000, "stands for nothing"),
        (b"test_suite: {" + b"k" * 900 + b": 1}", '["kkkkkkkkkk'),
        (b'test_suite: {"\\e[2J": 1}', "unknown key"),
        (b'test_suite: {"a\\nb": 1}', "unknown key"),
        (b'test_suite: {name: "\\u202e"}', "holds a character that cannot be printed"),
        (b"test_suite: " + b"x" * 4_000_000, "is not a mapping"),
        (b"a" * 900 + b": 1", "a suite file starts with the key test_suite, not with 'aaaa"),
    ],
)  # fmt: skip
def test_what_is_no_text_or_no_suite_is_told_at_its_place(content, told):
    assert any(told in line for line in mistakes(content)), mistakes(content)


def test_anchors_that_nobody_uses_and_windows_files_are_taken():
    text = suite("- &test {name: &name A, endpoint: &endpoint /a, headers: &h {X: &x y}}").replace(
        "\n", "\r\n"
    )

    assert load_suite("-", stdin=b"\xef\xbb\xbf" + text.encode(), environ={}).tests[0].headers == {"X": "y"}


NO_TIMEOUT = [
    "0",
    "-1",
    "-0.0",
    "0s",
    "-5s",
    "1e-9",
    "0.0009",
    "999us",
    ".nan",
    ".inf",
    "-.inf",
    "1e999",
    "true",
    "null",
]
NO_TIMEOUT += [
    "1:30",
    "1_000",
    "'１０'",
    "'1０s'",
    "2024-12-02",
    "[1]",
    "{}",
    "''",
    "' '",
    "1 s s",
    "0x",
    "9" * 400,
    "1e9",
]
NO_COUNT = [
    "0",
    "-1",
    "-0",
    "0.5",
    "1.5",
    "'1.5'",
    ".nan",
    ".inf",
    "1e999",
    "true",
    "1:30",
    "1_000",
    "'１０'",
]
NO_COUNT += [
    "2024-12-02",
    "[1]",
    "{}",
    "''",
    "ten",
    "1e13",
    "9" * 400,
    "0x" + "f" * 3900,
    "-9k",
    "1kk",
    "2000000000k",
]


@pytest.mark.parametrize("key", ["timeout", "connect_timeout"])
@pytest.mark.parametrize("value", NO_TIMEOUT)
def test_what_is_no_timeout_is_told(key, value):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: /, {key}: {value}}}"))
    assert line.startswith(f"stdin:5:30: tests[0].{key}: ")


@pytest.mark.parametrize("key", ["iterations", "total_iterations", "parallel_users"])
@pytest.mark.parametrize("value", NO_COUNT)
def test_what_is_no_count_is_told(key, value):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: /, {key}: {value}}}"))
    assert line.startswith(f"stdin:5:30: tests[0].{key}: ")


@pytest.mark.parametrize(
    ("value", "seconds"), [("0.001", 0.001), ("1ms", 0.001), ("0x1F", 31), ("007", 7), ("1e1", 10)]
)
def test_numbers_are_those_of_yaml(value, seconds):
    text = suite(f"- {{name: A, endpoint: /, timeout: {value}}}")
    assert load_suite("-", stdin=text.encode(), environ={}).tests[0].timeout_s == seconds


@pytest.mark.parametrize(
    "value", ["1_0", "'１０'", "'٩'", "0", "100", "-1", ".nan", "true", "null", "'1e1'", "x", "[]"]
)
def test_what_is_no_percentile_is_told(value):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: /, percentiles: [{value}]}}"))
    assert "tests[0].percentiles[0]: " in line


@pytest.mark.parametrize(
    ("conditions", "told"),
    [
        ("{min: '1_0'}", "'1_0' is not a number"),
        ("{min: '１'}", "'１' is not a number"),
        ("{max: .nan}", "nan is not a number"),
        ("{max: nan}", "'nan' is not a number"),
        ("{length: .inf}", "inf is not a length"),
        ("{length: -1}", "-1 is not a length"),
        ("{length: 1.5}", "1.5 is not a length"),
        ("{length: 1e300}", "1e+300 is not a length"),
        ("{matches: '('}", "'(' is not a regular expression"),
        ("{matches: 5}", "5 is not a regular expression"),
        ("{exists: 1}", "1 is neither true nor false"),
        ("{min: 2, max: 1}", "2 is more than max, 1"),
    ],
)
def test_what_is_no_condition_is_told(conditions, told):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: /, expect: {{json: {{'$.a': {conditions}}}}}}}"))
    assert told in line


@pytest.mark.parametrize(
    "path", ["$[?@.a==1e9999]", "$[?" + "(" * 900 + "@" + ")" * 900 + "]", "$" + ".a" * 2000, "$[", "a", "", "$.\x1b"]
)  # fmt: skip
def test_what_is_no_jsonpath_is_told(path):
    with pytest.raises(SuiteError) as caught:
        TestCase(name="A", endpoint="http://h", expect={"json": {path: 1}})
    (line,) = caught.value.mistakes
    assert "JSONPath" in line
    assert line.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "'${randint(" + " " * 50_000 + "a\")}'",
        "'${choice(" + "a," * 20_000 + ")}'",
        "'" + "${A:-" * 5000 + "x" + "}" * 5000 + "'",
        "'" + "${" * 20_000 + "'",
        "'${" + "a" * 100_000 + "'",
        "'${" + "a" * 100_000 + "}'",
        "'${file:" + "a" * 100_000 + "}'",
        "'${file:/dev/zero}'",
        "'${file:/proc/self/mem}'",
        "'${file:}'",
        "'${nope(1)}'",
    ],
)
def test_a_template_that_cannot_be_read_is_told_quickly(text):
    (line,) = mistakes(suite(f"- {{name: A, endpoint: /, body: {text}}}"))
    assert line.startswith("stdin:5:30: tests[0].body: ")


def test_a_value_that_text_cannot_hold_is_told():
    lines = "".join(f"    A{n}: {'[' * 80}'${{A{n + 1}}}'{']' * 80}\n" for n in range(5))
    tests = "  tests: [{name: A, endpoint: /a, body: 'x${A0}'}]\n"
    text = f"{HEAD}  variables:\n{lines}    A5: x\n{tests}"
    told = mistakes(text)
    assert any("takes a value that text cannot hold" in line for line in told), told


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((None,), {}, "source: null is not the path of a suite file"),
        ((5,), {}, "source: 5 is not"),
        (("",), {}, "source: '' is not"),
        ((b"s.yaml",), {}, "is not the path of a suite file"),
        (("s.yaml",), {"env": 5}, "env: 5 is not the name of an environment"),
        (("s.yaml",), {"variables": ["A"]}, "variables: a list is not a mapping"),
        (("s.yaml",), {"variables": {1: 2}}, "variables: the name 1 is not text"),
        (("s.yaml",), {"variables": {"A": None}}, "variables: the value of 'A' is None, not text"),
        (("s.yaml",), {"variables": {"a b": "c"}}, "variables: 'a b' is no name"),
        (("s.yaml",), {"tags": "x"}, "tags: 'x' is not a mapping"),
        (("s.yaml",), {"tags": {"a": 1}}, "tags: the value of 'a' is of type int, not text"),
    ],
)
def test_a_wrong_argument_of_load_suite_is_told(arguments, options, told):
    with pytest.raises(UsageError) as caught:
        load_suite(*arguments, **options)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    "make",
    [
        lambda: TestCase(),
        lambda: TestCase(name="A"),
        lambda: TestCase(name=None, endpoint="http://h"),
        lambda: TestCase(name=[], endpoint={}),
        lambda: TestCase(name="A", endpoint="http://h", nonsense=1),
        lambda: TestCase(name="A", endpoint="http://h", timeout=float("nan")),
        lambda: TestCase(name="A", endpoint="http://h", headers={1: object()}),
        lambda: TestCase(name="A", endpoint="http://h", headers=[("a", "b")]),
        lambda: TestCase(name="A", endpoint="http://h", expect=5),
        lambda: TestCase(name="A", endpoint="http://h", expect={5: 5}),
        lambda: TestCase(name="A", endpoint="http://h", auth="basic"),
        lambda: TestCase(name="A", endpoint="http://h", iterations=10**5000),
        lambda: TestCase(name="A", endpoint="http://h", timeout=10**5000),
        lambda: TestSuite(),
        lambda: TestSuite(name="S", tests=5),
        lambda: TestSuite(name="S", tests=[5]),
        lambda: TestSuite(name="S", tests=[]),
        lambda: TestSuite(name="S", tests={"a": 1}),
        lambda: TestSuite(name="S", tests=[TestCase], variables=[]),
        lambda: TestSuite(name="S", base_url=5, tests=[TestCase(name="A", endpoint="/")]),
        lambda: TestSuite(name="S", tests=[TestCase(name="A", endpoint="/")]).check(),
        lambda: TestSuite(name="S", tests=[TestCase(name="A", endpoint="http://h/${N}")]).check(),
    ],
)
def test_a_wrong_model_made_in_python_is_a_value_error_of_perfcore(make):
    with pytest.raises(ValueError) as caught:
        make()
    assert isinstance(caught.value, PerfcoreError)
    assert str(caught.value)
    assert all(line.isprintable() and "Input should" not in line for line in str(caught.value).splitlines())
