"""Texts with `${…}`, and the Scope in which their names are looked up.

What is known at load (variables, the process environment, files) becomes plain text; only functions and a user's
own values are left as calls. A text without such parts is a constant and costs nothing per request.
"""

import math
import stat
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from perfcore.suite.json_text import json_bytes
from perfcore.suite.mistakes import shown, suggestion
from perfcore.suite.template_functions import FUNCTIONS, Evaluate, RenderContext
from perfcore.suite.template_syntax import CallPart, FilePart, NamePart, Part, TemplateSyntaxError, parse

NO_DYNAMIC_NAMES: frozenset[str] = frozenset()
# Bounds on what variables that refer to variables may grow to.
MOST_NESTED = 50
LARGEST_TEXT = 10_000_000
# A secret or a token is a few kilobytes; more is a wrong path.
_LARGEST_FILE = 1 << 20
# What a number, a function or the punctuation around an entry counts as, in characters.
_CHARACTERS_A_VALUE = 8
# A hundred variables that all refer to all others have more circles than anybody can count.
_MOST_PROBLEMS = 100
# Names of a circle that are told.
_LONGEST_CIRCLE = 12
# A suggestion compares with every known name, so a suite of many unknown ones gets no more of them.
_MOST_SUGGESTIONS = 10


class Problem(NamedTuple):
    """One thing that is wrong with a template.

    `variables` names those variables of the suite in which it lies; empty when it lies in the template itself.
    """

    text: str
    variables: frozenset[str] = frozenset()


class TemplateError(ValueError):
    """`problems` has everything that is wrong with a template."""

    def __init__(self, *problems: Problem | str) -> None:
        self.problems = tuple(
            Problem(problem) if isinstance(problem, str) else problem for problem in problems
        )
        super().__init__("; ".join(problem.text for problem in self.problems))


class Fixed(NamedTuple):
    """A value that is the same for every request."""

    value: object


Native = Fixed | Evaluate


class Scope:
    """The values that names have when a suite is loaded; the first that knows a name gives its value.

    In this order: `given` (--var, literal text), `environment` and `suite` (variables of the chosen environment and
    of the suite, which may hold `${…}` themselves), `environ` (the process environment, literal text). What was
    taken from the process environment and from files is kept in `used_environ` and `used_files`.

    `made` counts the characters of everything that was compiled, each variable as often as it is referred to: a
    few lines of variables can refer to each other until they are gigabytes. `most_made` is where compiling stops.
    """

    def __init__(
        self,
        *,
        given: Mapping[str, str] | None = None,
        environment: Mapping[str, object] | None = None,
        suite: Mapping[str, object] | None = None,
        environ: Mapping[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        self.given = dict(given or {})
        self.variables: dict[str, object] = {**(suite or {}), **(environment or {})}
        self.environ = dict(environ or {})
        self.directory = directory if directory is not None else Path()
        self.used_environ: dict[str, str] = {}
        self.used_files: dict[str, str] = {}
        self.made = 0
        self.most_made = math.inf
        self._sizes: dict[tuple[str, frozenset[str]], int] = {}
        self._suggestions = 0
        self._resolved: dict[tuple[str, frozenset[str]], Native] = {}
        self._failed: dict[tuple[str, frozenset[str]], list[Problem]] = {}
        self._resolving: list[str] = []

    def knows(self, name: str) -> bool:
        return name in self.given or name in self.variables or name in self.environ

    def lookup(self, name: str) -> object:
        """The value of a name; TemplateError when nothing gives it or it depends on the request."""
        if not self.knows(name):
            raise TemplateError(self.not_set(name))
        return _fixed_value(self.resolve(name, NO_DYNAMIC_NAMES), name)

    def fixed(self, text: str) -> object:
        """The value of a text that must not depend on the request."""
        return _fixed_value(compile_text(text, self).native, text)

    def resolve(self, name: str, dynamic: frozenset[str]) -> Native:
        """The value of a known name, or how to evaluate it for a request."""
        if name in self.given:
            return self._literal(_unicode(self.given[name], f"--var {name}"))
        if name not in self.variables:
            self.used_environ[name] = _unicode(self.environ[name], f"the environment variable {name}")
            return self._literal(self.used_environ[name])
        key = (name, dynamic)
        if key in self._failed:
            raise TemplateError(*self._failed[key])
        if key in self._resolved:
            self.made += self._sizes[key]
        else:
            if name in self._resolving:
                circle = [*self._resolving[self._resolving.index(name) :], name]
                raise TemplateError(
                    Problem(f"{shown(name)} refers to itself: {_circle_text(circle)}", frozenset(circle))
                )
            if len(self._resolving) >= MOST_NESTED:
                raise TemplateError(f"{shown(name)} is nested in more than {MOST_NESTED} other variables")
            self._resolving.append(name)
            before = self.made
            try:
                self._resolved[key] = _compile_native(self.variables[name], self, dynamic)
                self._sizes[key] = self.made - before
            except TemplateError as error:
                here = frozenset({name})
                problems = [Problem(text, names or here) for text, names in error.problems]
                # Kept, as a value is: variables that refer to it ten times each would ask without end.
                self._failed[key] = problems
                raise TemplateError(*problems) from None
            finally:
                self._resolving.pop()
        return self._resolved[key]

    def _literal(self, text: str) -> Fixed:
        self.made += len(text)
        return Fixed(text)

    def count_plain(self, text: str) -> None:
        """Counts a text that is compiled to itself; raises TemplateError as `check_made` does."""
        before, self.made = self.made, self.made + len(text)
        self.check_made(before)

    def check_made(self, before: int) -> None:
        """Raises TemplateError when what was compiled since `made` was `before`, or in all, is too much."""
        if self.made - before > LARGEST_TEXT:
            raise TemplateError(f"becomes larger than {LARGEST_TEXT // 1_000_000} MB with its variables")
        if self.made > self.most_made:
            most = self.most_made // 1_000_000
            raise TemplateError(f"the texts of the suite become larger than {most} MB with their variables")

    def not_set(self, name: str, dynamic: frozenset[str] = NO_DYNAMIC_NAMES) -> str:
        """What to say about a name that nothing gives."""
        if name in FUNCTIONS:
            return f"{name!r} is not set; the function is written ${{{name}()}}"
        hint = ""
        if self._suggestions < _MOST_SUGGESTIONS:
            self._suggestions += 1
            hint = suggestion(name, (*dynamic, *self.given, *self.variables, *self.environ))
        told = shown(name, quote="")
        ways = f"give --var {told}=…, the environment variable {told}, or variables: in the suite"
        return f"{shown(name)} is not set; {ways}{hint}"

    def read_file(self, name: str) -> str:
        """What the file holds, without the line break at its end. A relative path starts at the suite."""
        if name in self.used_files:
            return self.used_files[name]
        path = self.directory / Path(name)
        name = shown(name, quote="")
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise TemplateError(f"${{file:{name}}}: {shown(str(path))} is not a regular file")
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, TemplateError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise TemplateError(f"${{file:{name}}}: {shown(str(path))} cannot be read: {reason}") from None
        if len(content) > _LARGEST_FILE:
            raise TemplateError(f"${{file:{name}}}: {shown(str(path))} is larger than 1 MiB")
        try:
            text = content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise TemplateError(f"${{file:{name}}}: {shown(str(path))} is not UTF-8 text") from None
        self.used_files[name] = text
        return text


def _circle_text(names: Sequence[str]) -> str:
    """The names in their order; of a long circle its start, and where it closes."""
    every = [shown(name, quote="") for name in names]
    return " → ".join(
        every if len(every) <= _LONGEST_CIRCLE else [*every[: _LONGEST_CIRCLE - 2], "…", every[-1]]
    )


def _unicode(text: str, what: str) -> str:
    """Bytes of the command line and the environment that are not UTF-8 come as halves of surrogate pairs."""
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise TemplateError(f"{what} is not UTF-8 text")
    return text


def _fixed_value(native: Native, text: str) -> object:
    if isinstance(native, Fixed):
        return native.value
    raise TemplateError(f"{shown(text)} is different for each request; here the value must be known at load")


def text_of(value: object) -> str:
    """How a value stands inside text: JSON's words for true and false, nothing for null."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list | tuple):
        return json_bytes(value).decode()
    return str(value)


class Template:
    """A compiled text. `constant` is the text when nothing in it depends on the request, else None."""

    __slots__ = ("_pieces", "constant", "native", "prefix")

    @classmethod
    def plain(cls, text: str) -> "Template":
        """Of a text without any `${…}`."""
        template = cls.__new__(cls)
        template._pieces = (text,)
        template.constant = template.prefix = text
        template.native = Fixed(text)
        return template

    def __init__(self, pieces: Sequence[Native]) -> None:
        merged = _merged(pieces)
        self._pieces: tuple[str | Evaluate, ...] = merged
        self.native: Native
        if all(isinstance(piece, str) for piece in merged):
            self.constant: str | None = "".join(map(str, merged))
            self.native = pieces[0] if len(pieces) == 1 else Fixed(self.constant)
        else:
            self.constant = None
            self.native = pieces[0] if len(pieces) == 1 else self.render
        # The text that every rendering starts with.
        self.prefix = merged[0] if merged and isinstance(merged[0], str) else ""

    @property
    def literals(self) -> tuple[str, ...]:
        """The constant stretches of the text, values that were looked up included."""
        return tuple(piece for piece in self._pieces if isinstance(piece, str))

    def render(self, context: RenderContext) -> str:
        if self.constant is not None:
            return self.constant
        return "".join([piece if type(piece) is str else text_of(piece(context)) for piece in self._pieces])  # type: ignore[operator]

    def value(self, context: RenderContext) -> object:
        """The value with its own type when the text is exactly one `${…}`, else the rendered text."""
        return self.native.value if isinstance(self.native, Fixed) else self.native(context)


def _merged(pieces: Sequence[Native]) -> tuple[str | Evaluate, ...]:
    """The pieces with neighbouring texts joined."""
    merged: list[str | Evaluate] = []
    for is_fixed, group in groupby(pieces, key=lambda piece: isinstance(piece, Fixed)):
        if is_fixed:
            merged.append("".join([text_of(piece.value) for piece in group if isinstance(piece, Fixed)]))
        else:
            merged += [piece for piece in group if not isinstance(piece, Fixed)]
    return tuple(merged)


def compile_text(text: str, scope: Scope, dynamic: frozenset[str] = NO_DYNAMIC_NAMES) -> Template:
    """Looks up everything that is known at load; raises TemplateError with all that is wrong.

    `dynamic` are the names that a user's extracted values or data may have; those are looked up there first.
    """
    if "$" not in text:
        scope.count_plain(text)
        return Template.plain(text)
    try:
        parts = parse(text)
    except TemplateSyntaxError as error:
        raise TemplateError(str(error)) from None
    return _compile_parts(parts, scope, dynamic)


def _compile_parts(parts: Iterable[Part], scope: Scope, dynamic: frozenset[str]) -> Template:
    pieces: list[Native] = []
    problems: dict[Problem, None] = {}
    before = scope.made
    for part in parts:
        try:
            pieces.append(_compile_part(part, scope, dynamic))
        except TemplateError as error:
            problems |= dict.fromkeys(error.problems)
        if len(problems) >= _MOST_PROBLEMS:
            break
        scope.check_made(before)
    if problems:
        raise TemplateError(*problems)
    try:
        return Template(pieces)
    except (ValueError, RecursionError) as error:
        raise TemplateError(f"takes a value that text cannot hold: {error}") from None


def _compile_part(part: Part, scope: Scope, dynamic: frozenset[str]) -> Native:
    if isinstance(part, str):
        scope.made += len(part)
        return Fixed(part)
    if isinstance(part, FilePart):
        content = scope.read_file(part.path)
        scope.made += len(content)
        return Fixed(content)
    scope.made += _CHARACTERS_A_VALUE
    if isinstance(part, CallPart):
        return _compile_call(part)
    return _compile_name(part, scope, dynamic)


def _compile_call(part: CallPart) -> Evaluate:
    build = FUNCTIONS.get(part.function)
    if build is None:
        hint = suggestion(part.function, FUNCTIONS) or f"; the functions are {', '.join(FUNCTIONS)}"
        raise TemplateError(f"there is no function {shown(part.function)}{hint}")
    try:
        return build(part.arguments)
    except ValueError as error:
        raise TemplateError(str(error)) from None


def _compile_name(part: NamePart, scope: Scope, dynamic: frozenset[str]) -> Native:
    known: Native | None = scope.resolve(part.name, dynamic) if scope.knows(part.name) else None
    if part.default is not None and (known is None or known == Fixed("")):
        known = _compile_parts(part.default, scope, dynamic).native
    if part.name in dynamic:
        return _from_user(part.name, known)
    if known is None:
        raise TemplateError(scope.not_set(part.name, dynamic))
    return known


def _from_user(name: str, otherwise: Native | None) -> Evaluate:
    def evaluate(context: RenderContext) -> object:
        if name in context.variables:
            return context.variables[name]
        if otherwise is None:
            raise TemplateError(f"{name!r} has no value yet: no step of this user has extracted it")
        return otherwise.value if isinstance(otherwise, Fixed) else otherwise(context)

    return evaluate


def _compile_native(value: object, scope: Scope, dynamic: frozenset[str]) -> Native:
    """A variable's value: its texts are templates, whatever it is made of."""
    scope.made += _CHARACTERS_A_VALUE
    if isinstance(value, str):
        return compile_text(value, scope, dynamic).native
    before = scope.made
    if isinstance(value, list | tuple):
        items: list[Native] = []
        for item in value:
            items.append(_compile_native(item, scope, dynamic))
            scope.check_made(before)
        if all(isinstance(item, Fixed) for item in items):
            return Fixed([item.value for item in items if isinstance(item, Fixed)])
        return lambda context: [_value_of(item, context) for item in items]
    if isinstance(value, Mapping):
        entries: dict[str, Native] = {}
        for key, item in value.items():
            scope.made += len(text := text_of(key))
            entries[text] = _compile_native(item, scope, dynamic)
            scope.check_made(before)
        if all(isinstance(item, Fixed) for item in entries.values()):
            return Fixed({key: item.value for key, item in entries.items() if isinstance(item, Fixed)})
        return lambda context: {key: _value_of(item, context) for key, item in entries.items()}
    return Fixed(value)


def _value_of(native: Native, context: RenderContext) -> object:
    return native.value if isinstance(native, Fixed) else native(context)
