"""Valid suites, and what a careless hand, a broken generator or a hostile one makes of them.

The keys come from the models themselves, so a key that is new in the format is mutated without being named here.
"""

import json
from collections.abc import Iterator
from copy import deepcopy
from itertools import islice
from operator import itemgetter
from pathlib import Path
from random import Random

import yaml

from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.expectation import Expectation
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite

from .suites import RICH, SEED

ROOT = Path(__file__).resolve().parent.parent.parent
KEYS = sorted(
    {
        *TestCase.yaml_keys(),
        *TestSuite.yaml_keys(),
        *Expectation.yaml_keys(),
        *("defaults", "environments", "steps", "type", "min", "max", "mean", "verify", "ca", "users", "rate"),
    }
)
# Right for some key, wrong for most.
USUAL = [
    *(
        1,
        0,
        10,
        1.5,
        True,
        False,
        "1s",
        "500ms",
        "1m30s",
        "10k",
        "2xx",
        "200",
        "GET",
        "post",
        "auto",
        "1.1",
        "",
        "x",
    ),
    *(
        "/a",
        "http://h/",
        "https://h:1/",
        "${A}",
        "${A:-1}",
        "${user()}",
        "${uuid()}",
        "${randint(1, 3)}",
        "$$",
    ),
    *(
        "basic",
        "bearer",
        "digest",
        "ntlm",
        "parallel",
        "50%",
        "100/s",
        "p95 < 1s",
        "127.0.0.1",
        "h:80:127.0.0.1",
    ),
    *([], {}, [200, 201], [75, 99.9], ["connect", 503], {"a": "b"}, {"a": [1, 2]}, {"min": 1, "max": 2}),
    *({"mean": "1s", "distribution": "exponential"}, {"type": "basic", "username": "u", "password": "p"}),
    *({"type": "bearer", "token": "t"}, {"fields": {"a": "b"}, "files": {}}, {"h": "127.0.0.1"}, {"$.a": 1}),
    *({"verify": False}, {"select": "random"}, {"status": 200}, {"max_rate": "5/s", "max_users": 3}),
]
# Wrong for nearly every key.
NASTY = [
    *(
        None,
        -1,
        0,
        -0.0,
        1e-9,
        1e308,
        10**30,
        10**18,
        -(10**400),
        "-1",
        "1e999",
        "nan",
        "inf",
        "9" * 5000,
        "1_000",
    ),
    *(
        "１０",
        "٣s",
        "0x1F",
        "1:30",
        "2024-12-02",
        " ",
        "\n",
        "\t",
        "a\x7fb",
        "\x1b[2J",
        "‮",
        "\u2028",
        "ü" * 300,
    ),
    *(
        "x" * 3000,
        "${",
        "${}",
        "${A",
        "${NOPE}",
        "${A:-${A:-${B}}}",
        "${file:/dev/zero}",
        "${file:}",
        "${file:/}",
    ),
    *(
        "${A}${A}${A}",
        "${LOOP}",
        "${nope()}",
        "${randint(9, 1)}",
        "${choice()}",
        "$" * 99,
        "(a+)+$",
        "(",
        "[[",
        "a{9",
    ),
    *(
        "ftp://h",
        "http://",
        "http://[",
        "http://h:99999",
        "//h",
        "http://h/ x",
        "http://u:p@h/",
        "../..",
        "/dev/zero",
    ),
    *(
        "FETCH",
        "***",
        "&a",
        "*a",
        "!!str x",
        "<<",
        "null",
        "~",
        "yes",
        "---",
        "#",
        "? :",
        "%",
        "@x",
        "`",
        "{",
        "]",
    ),
    *(
        [[]],
        [None],
        [[[[[[[[]]]]]]]],
        {"": ""},
        {"a": {"a": {"a": {}}}},
        {"x" * 500: 1},
        {"\x1b": 1},
        {"a": None},
    ),
    *(
        [1] * 200,
        ["x"] * 50,
        {f"k{number}": number for number in range(60)},
        {"$..a[": 1},
        {"$": {"min": "x"}},
    ),
    *(
        {"type": []},
        {"type": "digest"},
        {"status": {}},
        {"min": [], "max": {}},
        {"fields": 1, "files": {"a": "/"}},
    ),
]
# YAML that no value of the other pools becomes; each may stand where a value stands.
RAW = [
    *(
        ".nan",
        "-.inf",
        "0o17",
        "1.10",
        "0x" + "f" * 4000,
        "!!python/object:os.system {}",
        "!x y",
        "!!binary aGk=",
    ),
    *(
        "*nowhere",
        "&a [*a]",
        "&b {x: *b}",
        "{<<: 3}",
        "{<<: {name: N}}",
        "{? [1] : 2}",
        "{? {a: 1} : 2}",
        "{1: 2}",
    ),
    *(
        "{null: 1}",
        "{true: 1}",
        "{1.5: 2}",
        "{a: 1, a: 2}",
        '"\\x00"',
        '"\\ud800"',
        "2024-12-02",
        "12:30:45",
        "@",
    ),
    *(
        "[" * 120 + "]" * 120,
        "{a: " * 60 + "1" + "}" * 60,
        "[&c [1, 2], *c, *c]",
        "'",
        '"',
        "|",
        ">",
        "[",
        "}",
        "- -",
    ),
]
BYTES = [
    b"\x00",
    b"\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\r\n",
    b"\t",
    b"\x1b[31m",
    b"\xc2\x85",
    b"\n---\n",
]
BYTES += [
    b"&a ",
    b"*a",
    b"!!x ",
    b"<<: ",
    b"? ",
    b": ",
    b"- ",
    b"#",
    b"${",
    b"}",
    b"'",
    b'"',
    b"{",
    b"]",
    b"|\n",
    b"%",
]
_MARK = "RAW-{}-HERE"


def valid_suites() -> list[str]:
    """Suites that load with the variable TOKEN."""
    return [
        SEED,
        RICH,
        RICH,
        RICH,
        (ROOT / "config" / "test_config.yaml").read_text(),
        *_suites_of_every_key(),
    ]


def _suites_of_every_key() -> Iterator[str]:
    """Two tests for each key that takes one of the usual values, five to a suite."""
    tests: list[dict] = []
    for key in set(TestCase.yaml_keys()) - {"name", "endpoint"}:
        candidates = ({"name": f"{key} of {value}", "endpoint": "/a", key: value} for value in USUAL)
        tests += islice((test for test in candidates if _is_right(_suite_of([test]))), 2)
    tests.sort(key=itemgetter("name"))
    for first in range(0, len(tests), 5):
        yield _suite_of(tests[first : first + 5])


def _suite_of(tests: list[dict]) -> str:
    suite = {"name": "some keys", "base_url": "http://h", "variables": {"A": 1}, "tests": tests}
    return yaml.safe_dump({"test_suite": suite}, sort_keys=False)


def _is_right(suite: str) -> bool:
    try:
        load_suite("-", stdin=suite.encode(), environ={})
    except SuiteError:
        return False
    return True


class Mutator:
    """Makes wrong suites of right ones; the same ones for the same seed."""

    def __init__(self, seed: int, suites: list[str]) -> None:
        self._random = Random(seed)
        self._suites = [(text, yaml.safe_load(text)) for text in suites]
        self._raw: list[str] = []

    def mutated(self) -> bytes:
        """The text of a suite in which a few things were changed."""
        text, data = self._random.choice(self._suites)
        if self._random.random() < 0.75:
            data = deepcopy(data)
            self._raw = []
            for _ in range(self._random.choice((1, 1, 1, 2, 3, 6))):
                self._change(data)
            text = self._written(data)
        content = text.encode("utf-8", "surrogatepass")
        if self._random.random() < 0.4:
            for _ in range(self._random.choice((1, 1, 2, 5))):
                content = self._spoiled(content)
        return content

    def _change(self, data: dict) -> None:
        place = self._random.choice(list(_containers(data)))
        change = self._random.choice((self._replace, self._replace, self._replace, self._add, self._remove))
        if self._random.random() < 0.25:
            change = self._random.choice((self._rename, self._nest, self._swap, self._repeat))
        change(place)

    def _value(self) -> object:
        pool = self._random.choice((USUAL, USUAL, NASTY, NASTY, NASTY, RAW))
        value = deepcopy(self._random.choice(pool))
        if pool is RAW:
            self._raw.append(str(value))
            return _MARK.format(len(self._raw) - 1)
        return value

    def _slot(self, place: dict | list) -> object:
        return (
            self._random.choice(list(place) if isinstance(place, dict) else range(len(place)))
            if place
            else None
        )

    def _replace(self, place: dict | list) -> None:
        if place:
            place[self._slot(place)] = self._value()

    def _add(self, place: dict | list) -> None:
        if isinstance(place, dict):
            place[self._random.choice(KEYS)] = self._value()
        else:
            place.insert(self._random.randint(0, len(place)), self._value())

    def _remove(self, place: dict | list) -> None:
        if place:
            del place[self._slot(place)]

    def _rename(self, place: dict | list) -> None:
        if isinstance(place, dict) and place:
            key = self._slot(place)
            near = str(key)[1:] or "x"
            other = self._random.choice(
                (near, str(key).upper(), f"{key}s", self._random.choice(KEYS), "", "x" * 400)
            )
            place[other] = place.pop(key)

    def _nest(self, place: dict | list) -> None:
        if place:
            slot = self._slot(place)
            place[slot] = self._random.choice(
                ([place[slot]], {"a": place[slot]}, [[place[slot]]], str(place[slot]))
            )

    def _swap(self, place: dict | list) -> None:
        if place:
            one, other = self._slot(place), self._slot(place)
            place[one], place[other] = place[other], place[one]

    def _repeat(self, place: dict | list) -> None:
        if isinstance(place, list) and place:
            place.extend(deepcopy(place[self._slot(place)]) for _ in range(self._random.choice((1, 3, 40))))

    def _written(self, data: dict) -> str:
        if self._random.random() < 0.2:
            text = yaml.dump(data, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        else:
            text = json.dumps(
                data, indent=self._random.choice((None, 1)), ensure_ascii=self._random.random() < 0.3
            )
        for number, raw in enumerate(self._raw):
            mark = _MARK.format(number)
            text = text.replace(f'"{mark}"', raw).replace(mark, raw)
        return text

    def _spoiled(self, content: bytes) -> bytes:
        at = self._random.randint(0, len(content))
        what = self._random.randrange(5)
        if what == 0:
            return content[:at]
        if what == 1:
            return content[:at] + self._random.choice(BYTES) + content[at:]
        if what == 2:
            end = min(len(content), at + self._random.choice((1, 1, 5, 50)))
            return content[:at] + content[end:]
        if what == 3 and at < len(content):
            return content[:at] + bytes([content[at] ^ (1 << self._random.randrange(8))]) + content[at + 1 :]
        lines = content.split(b"\n")
        line = self._random.randrange(len(lines))
        lines.insert(self._random.randint(0, len(lines)), lines[line])
        return b"\n".join(lines)


def _containers(data: object) -> Iterator[dict | list]:
    """Every mapping and list, those of the tests more often than the rest by their number."""
    if isinstance(data, dict | list):
        yield data
        for entry in data.values() if isinstance(data, dict) else data:
            yield from _containers(entry)
