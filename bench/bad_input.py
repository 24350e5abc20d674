"""How long `perfcore validate` takes for suites that nobody should write: large, wrong, deep, or all of it.

    python -m bench.bad_input [--runs 3] [--only WORD] [--profile]

Every file is made here, up to the bounds that a suite has, and checked by a process of its own; the best of the
runs is told. The ratio is to a suite of one test, which takes as long as starting and importing does.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import NamedTuple

_SMALL = "one test"


class Figures(NamedTuple):
    cpu_s: float
    wall_s: float
    exit_code: int


def _suite(tests: str, head: str = "") -> str:
    return f"test_suite:\n  name: S\n  base_url: http://h\n{head}  tests:\n{tests}"


def _one_test(keys: str = "") -> str:
    return "    - name: A\n      endpoint: /a\n" + keys


def _tests(count: int, keys: str = "") -> str:
    return _suite(
        "".join(
            f"    - name: T{n}\n      endpoint: /a/{n}\n{keys.replace('@', str(n))}" for n in range(count)
        )
    )


def _listing(count: int, entry: Callable[[int], str], indent: str = "    ") -> str:
    return "".join(f"{indent}{entry(n)}\n" for n in range(count))


_TWO_WRONG = "      parallel_users: -1\n      timeout: x\n"
_MANY_KEYS = """\
      method: POST
      headers: {Accept: application/json, Authorization: "Bearer ${HOME}"}
      params: {page: 1}
      json: {id: "${randint(1, 9)}", tags: [a, b]}
      timeout: 5s
      parallel_users: 10
      iterations: 100
      think_time: 100ms
      expect: {status: 200, max_time: 1s, json: {"$.id": @}}
"""


def _deep(levels: int) -> str:
    return "[" * levels + "]" * levels


def _json_body(count: int) -> str:
    return json.dumps({f"key{n}": {"id": n, "name": f"n {n}"} for n in range(count)})


def _many_tests() -> Iterator[tuple[str, str]]:
    """The name of a kind, and the file."""
    yield _SMALL, _suite(_one_test())
    yield "10,000 tests, two mistakes each", _tests(10_000, _TWO_WRONG)
    yield "10,000 tests with an unknown key", _tests(10_000, "      itertions: 5\n")
    yield "10,000 tests with an unknown name", _tests(10_000, '      body: "${NOBODY@}"\n')
    yield "10,000 tests of one name", _suite(_listing(10_000, lambda n: "- {name: A, endpoint: /a}"))
    yield "33,000 empty tests", _suite(_listing(33_000, lambda n: "- {}"))
    yield "90,000 tests that are text", _suite(_listing(90_000, lambda n: f"- t{n}"))
    yield "10,000 right tests", _tests(10_000)
    yield "10,000 right tests, 3 keys more", _tests(10_000, "      timeout: 5s\n")
    yield "2,500 right tests of many keys", _tests(2_500, _MANY_KEYS)
    yield "2,500 wrong tests of many keys", _tests(2_500, _MANY_KEYS.replace("10\n", "-1\n"))


def _many_names() -> Iterator[tuple[str, str]]:
    """Variables, keys, headers, addresses."""
    variables = _listing(45_000, lambda n: f"V{n}: {n}")
    yield "45,000 variables", _suite(_one_test(), "  variables:\n" + variables)
    variables = _listing(30_000, lambda n: f"V{n}: text ${{V{n - 1}}}" if n else "V0: a")
    yield "30,000 variables in a chain", _suite(_one_test(), "  variables:\n" + variables)
    variables = _listing(33_000, lambda n: f'V{n}: "${{NOBODY{n}}}"')
    yield "33,000 variables of unknown names", _suite(_one_test(), "  variables:\n" + variables)
    yield "45,000 unknown keys of a suite", _suite(_one_test(), _listing(45_000, lambda n: f"k{n}: 1", "  "))
    yield (
        "45,000 headers",
        _suite(_one_test("      headers:\n" + _listing(45_000, lambda n: f"        h{n}: 1"))),
    )
    yield (
        "45,000 wrong headers",
        _suite(_one_test("      headers:\n" + _listing(45_000, lambda n: f"        h h{n}: 1"))),
    )
    yield (
        "45,000 times one key",
        _suite(_one_test("      headers:\n" + _listing(45_000, lambda n: "        h: 1"))),
    )
    addresses = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(90_000))
    yield "90,000 local addresses", _suite(_one_test(f"      local_addresses: [{addresses}]\n"))


def _long_texts() -> Iterator[tuple[str, str]]:
    """Up to the largest file."""
    yield "5 MB of one text", _suite(_one_test(f"      body: {'a' * 4_900_000}\n"))
    yield "5 MB of quotes and colons", _suite(_one_test("      body: '" + '"a": ' * 970_000 + "'\n"))
    yield "5 MB of one form", _suite(_one_test("      body: '" + "key=value&" * 480_000 + "'\n"))
    yield "5 MB of URLs", _suite(_one_test("      body: '" + "http://a:b@c/?d=e " * 270_000 + "'\n"))
    yield "5 MB of percent signs", _suite(_one_test("      body: '" + "%41" * 1_600_000 + "'\n"))
    yield "5 MB endpoint", _suite(f"    - name: A\n      endpoint: /{'a' * 4_900_000}\n")
    yield "5 MB name", _suite(_one_test()).replace("name: S", f"name: {'a' * 4_900_000}")
    yield (
        "5 MB of secret",
        _suite(
            _one_test('      body: "${S}"\n'), f"  secrets: [S]\n  variables: {{S: {'abcdefgh' * 600_000}}}\n"
        ),
    )
    yield (
        "5 MB of secret, and a mistake",
        _suite(
            _one_test('      body: "${S}"\n      timeout: x\n'),
            f"  secrets: [S]\n  variables: {{S: {'abcdefgh' * 600_000}}}\n",
        ),
    )
    yield "5 MB of comments", _suite(_one_test()) + "# a comment\n" * 400_000
    yield "5 MB of empty lines", _suite(_one_test()) + "\n" * 4_900_000
    yield "5 MB that are no YAML", _suite(_one_test()) + "  - ]\n" * 800_000
    yield "5 MB without a line end", "a" * 4_990_000


def _deep_and_wide() -> Iterator[tuple[str, str]]:
    """Nesting, environments, bodies, templates."""
    yield "nested 99 deep, often", _suite(_one_test(f"      json: [{', '.join([_deep(90)] * 1_000)}]\n"))
    yield "nested 100,000 deep", _suite(_one_test(f"      json: {_deep(100_000)}\n"))
    yield "nested 2,000,000 deep", _suite(_one_test(f"      json: {_deep(2_000_000)}\n"))
    environments = _listing(1_000, lambda n: f"e{n}: {{base_url: http://{n}, variables: {{A: {n}, B: b}}}}")
    yield "1,000 environments", _suite(_one_test(), "  environments:\n" + environments)
    environments = _listing(15_000, lambda n: f"e{n}: {{bas_url: x, tests: []}}")
    yield "15,000 wrong environments", _suite(_one_test(), "  environments:\n" + environments)
    yield "JSON body of 13,000 objects", _suite(_one_test(f"      json: {_json_body(13_000)}\n"))
    yield (
        "JSON body of 32,000 templates",
        _suite(_one_test("      json: {" + ", ".join(f'k{n}: "${{HOME}}"' for n in range(32_000)) + "}\n")),
    )
    yield "98,000 ${…} in one text", _suite(_one_test('      body: "' + "${HOME} " * 98_000 + '"\n'))
    yield (
        "98,000 unknown ${…} in one text",
        _suite(_one_test('      body: "' + "".join(f"${{N{n}}} " for n in range(98_000)) + '"\n')),
    )
    yield (
        "98,000 calls in one text",
        _suite(_one_test('      body: "' + "${choice(a,b,c,d)} " * 98_000 + '"\n')),
    )
    yield (
        "10,000 choices, 40 times",
        _suite(
            _one_test(
                '      body: "' + f"${{choice({','.join(f'c{n}' for n in range(10_000))})}} " * 40 + '"\n'
            )
        ),
    )


def _secrets() -> Iterator[tuple[str, str]]:
    """Many of them, alone and among many tests."""
    secrets = _listing(22_000, lambda n: f"- S{n}") + "  variables:\n"
    secrets += _listing(22_000, lambda n: f"S{n}: secret{n}value")
    yield "22,000 secrets", _suite(_one_test(), "  secrets:\n" + secrets)
    yield "22,000 secrets, and a mistake", _suite(_one_test("      timeout: x\n"), "  secrets:\n" + secrets)
    secrets = _listing(12_000, lambda n: f"- S{n}") + "  variables:\n"
    secrets += _listing(12_000, lambda n: f"S{n}: secret{n}value")
    yield "12,000 secrets, 10,000 tests", _tests(10_000).replace("  tests:", f"  secrets:\n{secrets}  tests:")
    yield (
        "12,000 secrets, 9,000 wrong tests",
        _tests(9_000, "      timeout: x\n").replace("  tests:", f"  secrets:\n{secrets}  tests:"),
    )
    tokens = _listing(45_000, lambda n: f"token{n}: value-of-it-{n}")
    yield "45,000 tokens and a mistake", _suite(_one_test("      timeout: x\n"), "  variables:\n" + tokens)


def _expectations_and_defaults() -> Iterator[tuple[str, str]]:
    """JSONPaths, patterns, defaults, limits."""
    paths = ", ".join(f'"$.a[{n}].b": {{min: x}}' for n in range(23_000))
    yield "23,000 JSONPaths, all wrong", _suite(_one_test(f"      expect: {{json: {{{paths}}}}}\n"))
    paths = ", ".join(f'"$.a[{n}].b": {n}' for n in range(45_000))
    yield "45,000 JSONPaths", _suite(_one_test(f"      expect: {{json: {{{paths}}}}}\n"))
    patterns = "      expect: {body_matches: '@(a|b)+[c-x]{1,9}'}\n"
    yield "10,000 tests with a pattern", _tests(10_000, patterns)
    defaults = "  defaults: {timeout: 5s, headers: {A: b, C: d}, params: {p: 1}, iterations: 5}\n"
    yield "10,000 tests under defaults", _tests(10_000).replace("  tests:", defaults + "  tests:")
    defaults = "  defaults: {timeout: x, headers: {A: b, C: d}, params: {p: 1}, iterations: -1}\n"
    yield "10,000 tests, wrong defaults", _tests(10_000).replace("  tests:", defaults + "  tests:")
    users = _tests(10_000, "      parallel_users: 9\n").replace(
        "  tests:", "  limits: {max_users: 5}\n  tests:"
    )
    yield "10,000 tests above max_users", users
    yield (
        "one test with 90,000 percentiles",
        _suite(_one_test(f"      percentiles: [{', '.join(str(n % 100 + 0.5) for n in range(90_000))}]\n")),
    )


def _odd_yaml() -> Iterator[tuple[str, str]]:
    """What YAML has beside values."""
    yield "one alias, 90,000 times", _suite(_one_test("      json: [&a x, " + "*a, " * 90_000 + "x]\n"))
    yield (
        "90,000 anchors",
        _suite(_one_test("      json: [" + ", ".join(f"&a{n} x" for n in range(90_000)) + "]\n")),
    )
    yield "90,000 tags", _suite(_one_test("      json: [" + ", ".join("!t x" for n in range(90_000)) + "]\n"))
    yield (
        "40,000 tests in a file of another form",
        "tests:\n" + _listing(40_000, lambda n: f"- {{name: t{n}}}"),
    )
    yield "45,000 keys at the top", "".join(f"k{n}: 1\n" for n in range(45_000)) + _suite(_one_test())


def _texts() -> Iterator[tuple[str, str]]:
    kinds = (
        _many_tests,
        _many_names,
        _long_texts,
        _deep_and_wide,
        _secrets,
        _expectations_and_defaults,
        _odd_yaml,
    )
    for kind in kinds:
        yield from kind()


def measure(path: Path) -> Figures:
    """One `perfcore validate` of the file."""
    with open(os.devnull, "w") as nowhere:
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "perfcore", "validate", str(path)], stdout=nowhere, stderr=nowhere
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    return Figures(usage.ru_utime + usage.ru_stime, wall_s, process.returncode)


def _print_profile(path: Path) -> None:
    from perfcore.cli.main import main as perfcore

    profile = cProfile.Profile()
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        profile.runcall(perfcore, ["validate", str(path)])
    pstats.Stats(profile).sort_stats("cumulative").print_stats(30)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", default="", metavar="WORD", help="kinds with this in their names")
    parser.add_argument("--profile", action="store_true", help="where the time goes, by cProfile")
    options = parser.parse_args(arguments)
    print(f"{'file':42} {'kB':>6} {'exit':>4} {'CPU s':>7} {'wall s':>7} {'ratio':>6}")
    base: Figures | None = None
    with tempfile.TemporaryDirectory() as folder:
        for kind, text in _texts():
            if kind != _SMALL and options.only not in kind:
                continue
            path = Path(folder) / "suite.yaml"
            path.write_text(text)
            best = min((measure(path) for _ in range(options.runs)), key=lambda figures: figures.wall_s)
            base = base or best
            size = path.stat().st_size // 1000
            print(
                f"{kind:42} {size:6,} {best.exit_code:4} {best.cpu_s:7.2f} {best.wall_s:7.2f} "
                f"{best.wall_s / base.wall_s:6.1f}",
                flush=True,
            )
            if options.profile and kind != _SMALL:
                _print_profile(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
