"""A suite file, read into a TestSuite.

    suite = load_suite("suite.yaml", env="staging", variables={"TOKEN": "…"})

Every mistake of the file is told at once, each with file, line, column and key path; only text that is not YAML
stops early. The steps: text → plain data with places (yaml_document) → environment and defaults merged (merging)
→ `${…}` of everything but the request's texts settled → models (test_case, test_suite) → the request's `${…}` checked.
"""

import math
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from perfcore.errors import SuiteError
from perfcore.suite.features import Lacks, nothing_lacks
from perfcore.suite.limits import Limits
from perfcore.suite.load_arguments import check_arguments
from perfcore.suite.masker import Masker
from perfcore.suite.merging import Origins, merge_defaults, merge_environment
from perfcore.suite.mistakes import (
    MOST_TOLD,
    KeyPath,
    Mistake,
    ModelError,
    listed,
    more_mistakes,
    shown,
    suggestion,
    told,
)
from perfcore.suite.request_check import REQUEST_KEYS, request_mistakes, variable_mistakes
from perfcore.suite.secret_values import name_mistakes, written_secrets
from perfcore.suite.suite_source import bounded, read_path, read_standard_input
from perfcore.suite.test_case import Expectation, TestCase
from perfcore.suite.test_suite import TestSuite
from perfcore.suite.text_template import Scope, TemplateError
from perfcore.suite.yaml_document import (
    CHARACTERS_A_VALUE,
    Document,
    Place,
    UnreadableError,
    place_after,
    read_yaml,
)

# What the keys of `defaults` come to under all tests, and all texts with their variables: a few lines could ask
# for gigabytes.
_MOST_VALUES_OF_DEFAULTS = 200_000
_MOST_CHARACTERS = 100_000_000

_TOP = "test_suite"
# What an environment may not change.
_NOT_IN_ENVIRONMENT = ("environments", "tests")
_SETTLED_IN_TEST = frozenset(TestCase.yaml_keys()) - REQUEST_KEYS
# Where text is wanted, a plain scalar is taken as it was written: 1.10 stays 1.10.
_TEXT_KEYS = frozenset({"name", "description", "endpoint", "body", "body_file", "http_version"})
_TEXT_MAPPINGS = frozenset({"headers", "params", "form", "multipart", "auth", "tags"})
_TEXT_EXPECTATIONS = frozenset({"header", "body_contains", "body_matches"})


def load_suite(
    source: str | Path,
    *,
    env: str | None = None,
    variables: Mapping[str, str] | None = None,
    tags: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    lacks: Lacks = nothing_lacks,
) -> TestSuite:
    """The checked suite of a file, or of standard input for `-`; raises SuiteError with every mistake.

    `env` chooses one of the suite's environments; `variables` go over everything else that supplies `${NAME}`;
    `tags` go over the suite's; `environ` is the process environment (default os.environ). `stdin` is used in
    place of the process's standard input. `lacks` tells what the transport that will carry the suite cannot do.
    """
    check_arguments(source, env, variables, tags)
    is_stdin = str(source) == "-"
    label = "stdin" if is_stdin else str(source)
    content = read_path(Path(source)) if not is_stdin else read_standard_input() if stdin is None else stdin
    text = _text_of_source(label, bounded(content, label))
    try:
        document = read_yaml(text)
    except UnreadableError as error:
        path = error.mistake.path[1:] if error.mistake.path[:1] == (_TOP,) else error.mistake.path
        raise SuiteError([_line(label, error.place, Mistake(path, error.mistake.text))]) from None
    loader = _Loader(label, document, Path() if is_stdin else Path(source).parent, lacks)
    environment = dict(os.environ if environ is None else environ)
    return loader.load(
        env, dict(variables or {}), dict(tags or {}), environment, None if is_stdin else Path(source)
    )


def _text_of_source(label: str, content: bytes) -> str:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = place_after(error.object[: error.start].decode())
        mistake = Mistake((), "is not UTF-8 text; a suite file is YAML")
        raise SuiteError([_line(label, place, mistake)]) from None
    if "\0" in text:
        raise SuiteError([f"{label}: is a binary file; a suite file is YAML"])
    if not text.strip():
        raise SuiteError([f"{label}: is empty; a suite file starts with {_TOP}:"])
    return text


def _line(label: str, place: Place, mistake: Mistake) -> str:
    return told(f"{label}:{place.line}:{place.column}", mistake)


class _Loader:
    """One load: the document, what was merged from where, and the mistakes found so far."""

    def __init__(self, label: str, document: Document, directory: Path, lacks: Lacks) -> None:
        self._label = label
        self._document = document
        self._directory = directory
        self._lacks = lacks
        self._origins = Origins()
        self._found: list[tuple[Place, Mistake]] = []
        # Written key paths with a mistake already: nothing more is said about them or what is in them.
        self._spoiled: set[KeyPath] = set()
        for place, mistake in document.mistakes:
            path = mistake.path[1:]
            self._found.append((place, Mistake(path, mistake.text)))
            self._spoiled.add(path)

    def load(
        self,
        env: str | None,
        given: dict[str, str],
        tags: dict[str, str],
        environ: dict[str, str],
        source: Path | None,
    ) -> TestSuite:
        written = self._top()
        self._check_environments(written, env)
        merged = merge_environment(written, env, self._origins)
        self._check_defaults(merged.get("defaults"))
        self._check_size_of_defaults(merged)
        merged = merge_defaults(merged, self._origins)
        self._check_attribute_names(merged)
        if isinstance(merged.get("tags", {}), dict):
            merged["tags"] = {**merged.get("tags", {}), **tags}
        variables = merged.get("variables")
        scope = Scope(
            given=given,
            suite=variables if isinstance(variables, dict) else {},
            environ=environ,
            directory=self._directory,
        )
        scope.most_made = _MOST_CHARACTERS
        for mistake in variable_mistakes(scope):
            self._add(mistake)
        settled = self._settle_suite(merged, scope)
        suite = self._make(settled, scope, source)
        self._check_requests(settled, scope)
        # Last: compiling the requests has read every file that they take.
        for mistake in name_mistakes(settled, scope):
            self._add(mistake)
        if self._found or suite is None:
            raise SuiteError(self._lines(Masker(written_secrets(merged, scope))))
        scope.most_made = math.inf
        return suite

    def _top(self) -> dict[str, Any]:
        data = self._document.data
        if not isinstance(data, dict) or _TOP not in data:
            first = f", not with {shown(next(iter(data)))}" if isinstance(data, dict) and data else ""
            self._add(Mistake((), f"a suite file starts with the key {_TOP}{first}"))
            raise SuiteError(self._lines())
        for key in data:
            if key != _TOP:
                place = self._document.place_of((key,))
                self._found.append((place, Mistake((), f"unknown key {shown(key)} beside {_TOP}")))
        suite = data[_TOP]
        if not isinstance(suite, dict):
            self._add(
                Mistake(
                    (_TOP,),
                    f"{shown(suite)} is not a mapping; write name: …, base_url: … and tests: under it",
                )
            )
            raise SuiteError(self._lines())
        for path, spelling in self._document.spellings.items():
            if path[0] == _TOP and _wants_text(path[1:]):
                _replace(suite, path[1:], spelling)
        return suite

    def _check_environments(self, suite: dict[str, Any], env: str | None) -> None:
        environments = suite.get("environments")
        if environments is not None and not isinstance(environments, dict):
            text = f"{shown(environments)} is not a mapping of names to the keys that differ"
            self._add(Mistake(("environments",), text))
            environments = None
        known = {*TestSuite.yaml_keys(), "defaults"} - {*_NOT_IN_ENVIRONMENT}
        for name, keys in (environments or {}).items():
            if not isinstance(keys, dict):
                self._add(
                    Mistake(("environments", name), f"{shown(keys)} is not a mapping; write base_url: …")
                )
                continue
            for key in keys:
                if key in _NOT_IN_ENVIRONMENT:
                    self._add(Mistake(("environments", name, key), "cannot differ between environments"))
                elif key not in known and name != env:
                    self._add(Mistake(("environments", name, key), TestSuite.unknown_key(key)))
                elif key == "defaults" and isinstance(keys[key], dict):
                    unknown = [entry for entry in keys[key] if entry not in TestCase.yaml_keys()]
                    for entry in unknown:
                        self._add(Mistake(("environments", name, key, entry), TestCase.unknown_key(entry)))
        if env is not None and env not in (environments or {}):
            choices = listed(environments or {})
            way_out = (
                f"choose one of {choices}{suggestion(env, environments or {})}"
                if choices
                else "the suite has none"
            )
            self._add(Mistake(("environments",), f"there is no environment {shown(env)}; {way_out}"))

    def _check_defaults(self, defaults: object) -> None:
        if isinstance(defaults, dict):
            if "name" in defaults:
                self._add(Mistake(("defaults", "name"), "every test has a name of its own"))
        elif defaults is not None:
            self._add(Mistake(("defaults",), f"{shown(defaults)} is not a mapping; write the keys of a test"))

    def _check_size_of_defaults(self, suite: dict[str, Any]) -> None:
        defaults, tests = suite.get("defaults"), suite.get("tests")
        count = _count_values(defaults) * (len(tests) if isinstance(tests, list) else 0)
        if count > _MOST_VALUES_OF_DEFAULTS:
            text = f"come to more than {_MOST_VALUES_OF_DEFAULTS:,} values under {len(tests or ()):,} tests"
            self._add(Mistake(("defaults",), text))
            raise SuiteError(self._lines())

    def _check_attribute_names(self, suite: dict[str, Any]) -> None:
        """The models take their Python names as well; in a file those are unknown keys."""
        limits, tests = suite.get("limits"), suite.get("tests")
        for key in Limits.attribute_names().intersection(limits if isinstance(limits, dict) else ()):
            self._add(Mistake(("limits", key), Limits.unknown_key(key)))
        for index, test in enumerate(tests if isinstance(tests, list) else ()):
            expect = test.get("expect") if isinstance(test, dict) else None
            for model, data, path in ((TestCase, test, ()), (Expectation, expect, ("expect",))):
                for key in model.attribute_names().intersection(data if isinstance(data, dict) else ()):
                    self._add(Mistake(("tests", index, *path, key), model.unknown_key(key)))

    def _settle_suite(self, suite: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """Replaces every `${…}` that does not belong to a request by its value."""
        settled = dict(suite)
        for key, value in suite.items():
            if key not in ("variables", "secrets", "tests"):
                settled[key] = self._settle(value, (key,), scope)
        tests = suite.get("tests")
        if isinstance(tests, list):
            settled["tests"] = [
                self._settle_test(test, ("tests", index), scope) if isinstance(test, dict) else test
                for index, test in enumerate(tests)
            ]
        return settled

    def _settle_test(self, test: dict[str, Any], path: KeyPath, scope: Scope) -> dict[str, Any]:
        settled = {
            key: self._settle(value, (*path, key), scope) if key in _SETTLED_IN_TEST else value
            for key, value in test.items()
        }
        self._find_files(settled, ("body_file", "unix_socket"))
        if isinstance(settled.get("tls"), dict):
            self._find_files(settled["tls"], ("ca", "cert", "key"))
        multipart = settled.get("multipart")
        if isinstance(multipart, dict) and isinstance(multipart.get("files"), dict):
            # The fields are the request's texts, the paths are settled as every other path is.
            files = self._settle(multipart["files"], (*path, "multipart", "files"), scope)
            self._find_files(files, files)
            settled["multipart"] = {**multipart, "files": files}
        return settled

    def _find_files(self, data: dict[str, Any], keys: Iterable[str]) -> None:
        """Relative paths start at the suite file."""
        for key in keys:
            if isinstance(data.get(key), list):
                data[key] = [self._found_file(entry) for entry in data[key]]
            elif key in data:
                data[key] = self._found_file(data[key])

    def _found_file(self, value: object) -> object:
        return str(self._directory / value) if isinstance(value, str) and value else value

    def _settle(self, value: object, path: KeyPath, scope: Scope) -> Any:
        if isinstance(value, str) and "$" in value:
            try:
                return scope.fixed(value)
            except TemplateError as error:
                for text, names in error.problems:
                    if not names:
                        self._add(Mistake(path, text))
                self._spoiled.add(self._origins.of(path))
        elif isinstance(value, dict):
            return {key: self._settle(entry, (*path, key), scope) for key, entry in value.items()}
        elif isinstance(value, list):
            return [self._settle(entry, (*path, index), scope) for index, entry in enumerate(value)]
        return value

    def _make(self, data: dict[str, Any], scope: Scope, source: Path | None) -> TestSuite | None:
        try:
            return TestSuite.loaded(data, scope, source)
        except ModelError as error:
            for mistake in error.found:
                self._add(mistake)
            return None

    def _check_requests(self, data: dict[str, Any], scope: Scope) -> None:
        tests = data.get("tests")
        base_url = data.get("base_url")
        for index, test in enumerate(tests if isinstance(tests, list) else ()):
            if isinstance(test, dict):
                for mistake in request_mistakes(test, str(base_url or ""), scope, self._lacks):
                    self._add(mistake.under(("tests", index)))

    def _add(self, mistake: Mistake) -> None:
        """Keeps a mistake about merged data, told where it was written."""
        path = self._origins.of(mistake.path)
        if any(path[:length] in self._spoiled for length in range(1, len(path) + 1)):
            return
        place = self._document.place_of((_TOP, *path))
        self._found.append((place, Mistake(path, mistake.text)))

    def _lines(self, masker: Masker | None = None) -> list[str]:
        """Each mistake once, by place, without secrets; of very many the first ones, and how many more there are."""
        found = list(dict.fromkeys(sorted(self._found, key=itemgetter(0))))
        lines = []
        for place, (path, text) in found[:MOST_TOLD]:
            lines.append(_line(self._label, place, Mistake(path, masker.text(text) if masker else text)))
        if len(found) > MOST_TOLD:
            text = f"… and {more_mistakes(len(found) - MOST_TOLD)} from here on"
            lines.append(_line(self._label, found[MOST_TOLD][0], Mistake((), text)))
        return list(dict.fromkeys(lines))


def _count_values(value: object) -> int:
    """Values, a long text counted as several."""
    if isinstance(value, str):
        return 1 + len(value) // CHARACTERS_A_VALUE
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_count_values, inner))


def _wants_text(path: KeyPath) -> bool:
    """Whether text is wanted at this key path of the suite (as it was written, before merging)."""
    if path[:1] == ("environments",):
        path = path[2:]
    if path[:1] == ("tests",):
        path = path[2:]
    elif path[:1] == ("defaults",):
        path = path[1:]
    if len(path) == 1:
        return path[0] in _TEXT_KEYS
    if path[:1] == ("expect",):
        return path[1] in _TEXT_EXPECTATIONS
    return bool(path) and (path[0] in _TEXT_MAPPINGS or path[0] == "secrets")


def _replace(data: Any, path: KeyPath, value: str) -> None:
    # A value that was merged away or given twice is no longer where it was read.
    with suppress(LookupError, TypeError):
        for part in path[:-1]:
            data = data[part]
        _ = data[path[-1]]
        data[path[-1]] = value
