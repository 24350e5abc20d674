"""A suite file, read into a TestSuite.

    suite = load_suite("suite.yaml", env="staging", variables={"TOKEN": "…"})

Every mistake of the file is told at once, each with file, line, column and key path; only text that is not YAML
stops early. The steps: text → plain data with places (yaml_document) → environment and defaults merged (merging)
→ `${…}` of everything but the request's texts settled → models (test_case, test_suite) → the request's `${…}` checked.
"""

import gc
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

from perfcore.errors import SuiteError
from perfcore.suite.features import Lacks, nothing_lacks
from perfcore.suite.found_mistakes import FoundMistakes, line_of
from perfcore.suite.limits import Limits
from perfcore.suite.load_arguments import check_arguments
from perfcore.suite.masker import Masker
from perfcore.suite.merging import Origins, merge_defaults, merge_environment
from perfcore.suite.mistakes import KeyPath, Mistake, ModelError, listed, shown, suggestion
from perfcore.suite.model import make_model
from perfcore.suite.request_check import REQUEST_KEYS, request_mistakes, variable_mistakes
from perfcore.suite.secret_values import name_mistakes, written_secrets
from perfcore.suite.suite_source import bounded, read_path, read_standard_input
from perfcore.suite.test_case import Expectation, TestCase
from perfcore.suite.test_suite import TestSuite
from perfcore.suite.text_template import Scope, TemplateError
from perfcore.suite.yaml_document import (
    CHARACTERS_A_VALUE,
    Document,
    UnreadableError,
    place_after,
    read_yaml,
)

# Each costs some forty microseconds to check, and a good deal more to run.
MOST_TESTS = 10_000
# What the keys of `defaults` come to under all tests, and all texts with their variables: a few lines could ask
# for gigabytes.
_MOST_VALUES_OF_DEFAULTS = 60_000
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
    with _without_collector():
        return _load(source, env, variables, tags, environ, stdin, lacks)


@contextmanager
def _without_collector() -> Iterator[None]:
    """Without the search for circles: there are none, and it looks at all that was read again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(
    source: str | Path,
    env: str | None,
    variables: Mapping[str, str] | None,
    tags: Mapping[str, str] | None,
    environ: Mapping[str, str] | None,
    stdin: bytes | None,
    lacks: Lacks,
) -> TestSuite:
    is_stdin = str(source) == "-"
    label = "stdin" if is_stdin else str(source)
    content = read_path(Path(source)) if not is_stdin else read_standard_input() if stdin is None else stdin
    text = _text_of_source(label, bounded(content, label))
    try:
        document = read_yaml(text)
    except UnreadableError as error:
        path = error.mistake.path[1:] if error.mistake.path[:1] == (_TOP,) else error.mistake.path
        raise SuiteError([line_of(label, error.place, Mistake(path, error.mistake.text))]) from None
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
        raise SuiteError([line_of(label, place, mistake)]) from None
    if "\0" in text:
        raise SuiteError([f"{label}: is a binary file; a suite file is YAML"])
    if not text.strip():
        raise SuiteError([f"{label}: is empty; a suite file starts with {_TOP}:"])
    return text


class _Loader:
    """One load: the document, what was merged from where, and the mistakes found so far."""

    def __init__(self, label: str, document: Document, directory: Path, lacks: Lacks) -> None:
        self._document = document
        self._directory = directory
        self._lacks = lacks
        self._origins = Origins()
        self._found = FoundMistakes(label, document, self._origins, _TOP)

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
        self._check_size(merged)
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
        self._add_all(variable_mistakes(scope, self._found.is_beyond))
        settled = self._settle_suite(merged, scope)
        suite = self._make(settled, scope, source)
        self._check_requests(settled, scope)
        # Last: compiling the requests has read every file that they take.
        self._add_all(name_mistakes(settled, scope))
        if self._found or suite is None:
            raise SuiteError(self._found.lines(Masker(written_secrets(merged, scope))))
        scope.most_made = math.inf
        return suite

    def _top(self) -> dict[str, Any]:
        data = self._document.data
        if not isinstance(data, dict) or _TOP not in data:
            first = f", not with {shown(next(iter(data)))}" if isinstance(data, dict) and data else ""
            self._refuse((), f"a suite file starts with the key {_TOP}{first}")
        for key in data:
            if key != _TOP:
                place = self._document.place_of((key,))
                self._found.add_at(place, Mistake((), f"unknown key {shown(key)} beside {_TOP}"))
        suite = data[_TOP]
        if not isinstance(suite, dict):
            text = f"{shown(suite)} is not a mapping; write name: …, base_url: … and tests: under it"
            self._refuse((_TOP,), text)
        for path, spelling in self._document.spellings.items():
            if path[0] == _TOP and _wants_text(path[1:]):
                _replace(suite, path[1:], spelling)
        return suite

    def _check_environments(self, suite: dict[str, Any], env: str | None) -> None:
        environments = suite.get("environments")
        if environments is not None and not isinstance(environments, dict):
            text = f"{shown(environments)} is not a mapping of names to the keys that differ"
            self._found.add(Mistake(("environments",), text))
            environments = None
        known = {*TestSuite.yaml_keys(), "defaults"} - {*_NOT_IN_ENVIRONMENT}
        for name, keys in (environments or {}).items():
            if not isinstance(keys, dict):
                self._found.add(
                    Mistake(("environments", name), f"{shown(keys)} is not a mapping; write base_url: …")
                )
                continue
            for key in keys:
                if key in _NOT_IN_ENVIRONMENT:
                    self._found.add(
                        Mistake(("environments", name, key), "cannot differ between environments")
                    )
                elif key not in known and name != env:
                    self._found.add(Mistake(("environments", name, key), TestSuite.unknown_key(key)))
                elif key == "defaults" and isinstance(keys[key], dict):
                    unknown = [entry for entry in keys[key] if entry not in TestCase.yaml_keys()]
                    for entry in unknown:
                        self._found.add(
                            Mistake(("environments", name, key, entry), TestCase.unknown_key(entry))
                        )
        if env is not None and env not in (environments or {}):
            choices = listed(environments or {})
            way_out = (
                f"choose one of {choices}{suggestion(env, environments or {})}"
                if choices
                else "the suite has none"
            )
            self._found.add(Mistake(("environments",), f"there is no environment {shown(env)}; {way_out}"))

    def _check_defaults(self, defaults: object) -> None:
        if isinstance(defaults, dict):
            if "name" in defaults:
                self._found.add(Mistake(("defaults", "name"), "every test has a name of its own"))
        elif defaults is not None:
            self._found.add(
                Mistake(("defaults",), f"{shown(defaults)} is not a mapping; write the keys of a test")
            )

    def _check_size(self, suite: dict[str, Any]) -> None:
        """Raises SuiteError for more tests than are taken, or for defaults that come to too much under them."""
        defaults, tests = suite.get("defaults"), suite.get("tests")
        number = len(tests) if isinstance(tests, list) else 0
        if number > MOST_TESTS:
            self._refuse(("tests",), f"{number:,} tests are more than a suite may have, {MOST_TESTS:,}")
        if _count_values(defaults) * number > _MOST_VALUES_OF_DEFAULTS:
            text = f"come to more than {_MOST_VALUES_OF_DEFAULTS:,} values under {number:,} tests"
            self._refuse(("defaults",), text)

    def _refuse(self, path: KeyPath, text: str) -> NoReturn:
        """Raises SuiteError with this mistake and those found before it."""
        self._found.add(Mistake(path, text))
        raise SuiteError(self._found.lines())

    def _check_attribute_names(self, suite: dict[str, Any]) -> None:
        """The models take their Python names as well; in a file those are unknown keys."""
        limits, tests = suite.get("limits"), suite.get("tests")
        for key in Limits.attribute_names().intersection(limits if isinstance(limits, dict) else ()):
            self._found.add(Mistake(("limits", key), Limits.unknown_key(key)))
        for index, test in self._looked_at(tests):
            expect = test.get("expect") if isinstance(test, dict) else None
            for model, data, path in ((TestCase, test, ()), (Expectation, expect, ("expect",))):
                for key in model.attribute_names().intersection(data if isinstance(data, dict) else ()):
                    self._found.add(Mistake(("tests", index, *path, key), model.unknown_key(key)))

    def _settle_suite(self, suite: dict[str, Any], scope: Scope) -> dict[str, Any]:
        """Replaces every `${…}` that does not belong to a request by its value."""
        settled = dict(suite)
        for key, value in suite.items():
            if key not in ("variables", "secrets", "tests"):
                settled[key] = self._settle(value, (key,), scope)
        tests = suite.get("tests")
        if isinstance(tests, list):
            settled["tests"] = [*tests]
            for index, test in self._looked_at(tests):
                if isinstance(test, dict):
                    settled["tests"][index] = self._settle_test(test, ("tests", index), scope)
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
                        self._found.add(Mistake(path, text))
                self._found.spoil(path)
        elif isinstance(value, dict):
            return {key: self._settle(entry, (*path, key), scope) for key, entry in value.items()}
        elif isinstance(value, list):
            return [self._settle(entry, (*path, index), scope) for index, entry in enumerate(value)]
        return value

    def _make(self, data: dict[str, Any], scope: Scope, source: Path | None) -> TestSuite | None:
        """The suite, unless it is wrong. Its tests are made one by one, so that this ends where mistakes are enough."""
        tests = data.get("tests")
        are_wrong = False
        if isinstance(tests, list) and tests:
            cases = list(self._made_tests(tests))
            are_wrong = len(cases) < len(tests)
            if are_wrong:
                self._add_all(TestSuite.combinations(data))
            # The other keys of the suite are looked at as well, with a test in place of those that are wrong.
            data = {**data, "tests": [TestCase(name="A", endpoint="/")] if are_wrong else cases}
        try:
            suite = TestSuite.loaded(data, scope, source)
        except ModelError as error:
            self._add_all(error.found)
            return None
        return None if are_wrong else suite

    def _made_tests(self, tests: list[Any]) -> Iterator[TestCase]:
        for index, test in self._looked_at(tests):
            try:
                yield make_model(TestCase, test)
            except ModelError as error:
                self._add_all(mistake.under(("tests", index)) for mistake in error.found)
            except ValueError as error:
                self._found.add(Mistake(("tests", index), str(error)))

    def _check_requests(self, data: dict[str, Any], scope: Scope) -> None:
        base_url = str(data.get("base_url") or "")
        for index, test in self._looked_at(data.get("tests")):
            if isinstance(test, dict):
                mistakes = request_mistakes(test, base_url, scope, self._lacks)
                self._add_all(mistake.under(("tests", index)) for mistake in mistakes)

    def _looked_at(self, tests: object) -> Iterator[tuple[int, Any]]:
        """The tests with their numbers, up to where no mistake would be told any more."""
        for index, test in enumerate(tests if isinstance(tests, list) else ()):
            if self._found.is_beyond(("tests", index)):
                return
            yield index, test

    def _add_all(self, mistakes: Iterable[Mistake]) -> None:
        for mistake in mistakes:
            self._found.add(mistake)


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
