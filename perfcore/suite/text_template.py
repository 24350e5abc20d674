"""Texts with `${…}`, and the Scope in which their names are looked up.

What is known at load (variables, the process environment, files) becomes plain text; only functions and a user's
own values are left as calls. A text without such parts is a constant and costs nothing per request.
"""

import stat
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from perfcore.suite.json_text import json_bytes
from perfcore.suite.mistakes import shown, suggestion
from perfcore.suite.template_functions import FUNCTIONS, Evaluate, RenderContext
from perfcore.suite.template_syntax import CallPart, FilePart, NamePart, Part, TemplateSyntaxError, parse

NO_DYNAMIC_NAMES: frozenset[str] = frozenset()
# A secret or a token is a few kilobytes; more is a wrong path.
# Bounds on what variables that refer to variables may grow to.
MOST_NESTED = 50
LARGEST_TEXT = 10_000_000
_LARGEST_FILE = 1 << 20


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
            return Fixed(_unicode(self.given[name], f"--var {name}"))
        if name not in self.variables:
            self.used_environ[name] = _unicode(self.environ[name], f"the environment variable {name}")
            return Fixed(self.used_environ[name])
        key = (name, dynamic)
        if key in self._failed:
            raise TemplateError(*self._failed[key])
        if key not in self._resolved:
            if name in self._resolving:
                circle = [*self._resolving[self._resolving.index(name) :], name]
                raise TemplateError(
                    Problem(f"{name!r} refers to itself: {' → '.join(circle)}", frozenset(circle))
                )
            if len(self._resolving) >= MOST_NESTED:
                raise TemplateError(f"{name!r} is nested in more than {MOST_NESTED} other variables")
            self._resolving.append(name)
            try:
                self._resolved[key] = _compile_native(self.variables[name], self, dynamic)
            except TemplateError as error:
                here = frozenset({name})
                problems = [Problem(text, names or here) for text, names in error.problems]
                # Kept, as a value is: variables that refer to it ten times each would ask without end.
                self._failed[key] = problems
                raise TemplateError(*problems) from None
            finally:
                self._resolving.pop()
        return self._resolved[key]

    def not_set(self, name: str, dynamic: frozenset[str] = NO_DYNAMIC_NAMES) -> str:
        """What to say about a name that nothing gives."""
        if name in FUNCTIONS:
            return f"{name!r} is not set; the function is written ${{{name}()}}"
        hint = suggestion(name, [*dynamic, *self.environ, *self.variables, *self.given])
        ways = f"give --var {name}=…, the environment variable {name}, or variables: in the suite"
        return f"{name!r} is not set; {ways}{hint}"

    def read_file(self, name: str) -> str:
        """What the file holds, without the line break at its end. A relative path starts at the suite."""
        if name in self.used_files:
            return self.used_files[name]
        path = self.directory / Path(name)
        try:
            if not stat.S_ISREG(path.stat().st_mode):
                raise TemplateError(f"${{file:{name}}}: {str(path)!r} is not a regular file")
            with path.open("rb") as file:
                content = file.read(_LARGEST_FILE + 1)
        except (OSError, ValueError) as error:
            if isinstance(error, TemplateError):
                raise
            reason = getattr(error, "strerror", None) or str(error)
            raise TemplateError(f"${{file:{name}}}: {shown(str(path))} cannot be read: {reason}") from None
        if len(content) > _LARGEST_FILE:
            raise TemplateError(f"${{file:{name}}}: {str(path)!r} is larger than 1 MiB")
        try:
            text = content.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError:
            raise TemplateError(f"${{file:{name}}}: {str(path)!r} is not UTF-8 text") from None
        self.used_files[name] = text
        return text


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

    def __init__(self, pieces: Sequence[Native]) -> None:
        merged = _merged(pieces)
        self._pieces: tuple[str | Evaluate, ...] = merged
        self.native: Native
        if all(isinstance(piece, str) for piece in merged):
            if sum(map(len, map(str, merged))) > LARGEST_TEXT:
                raise TemplateError(f"becomes larger than {LARGEST_TEXT // 1_000_000} MB with its variables")
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
    merged: list[str | Evaluate] = []
    for piece in pieces:
        if not isinstance(piece, Fixed):
            merged.append(piece)
        elif merged and isinstance(merged[-1], str):
            merged[-1] += text_of(piece.value)
        else:
            merged.append(text_of(piece.value))
    return tuple(merged)


def compile_text(text: str, scope: Scope, dynamic: frozenset[str] = NO_DYNAMIC_NAMES) -> Template:
    """Looks up everything that is known at load; raises TemplateError with all that is wrong.

    `dynamic` are the names that a user's extracted values or data may have; those are looked up there first.
    """
    if "$" not in text:
        return Template([Fixed(text)])
    try:
        parts = parse(text)
    except TemplateSyntaxError as error:
        raise TemplateError(str(error)) from None
    return _compile_parts(parts, scope, dynamic)


def _compile_parts(parts: Iterable[Part], scope: Scope, dynamic: frozenset[str]) -> Template:
    pieces: list[Native] = []
    problems: list[Problem] = []
    for part in parts:
        try:
            pieces.append(_compile_part(part, scope, dynamic))
        except TemplateError as error:
            problems += error.problems
    if problems:
        raise TemplateError(*problems)
    return Template(pieces)


def _compile_part(part: Part, scope: Scope, dynamic: frozenset[str]) -> Native:
    if isinstance(part, str):
        return Fixed(part)
    if isinstance(part, FilePart):
        return Fixed(scope.read_file(part.path))
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
    if isinstance(value, str):
        return compile_text(value, scope, dynamic).native
    if isinstance(value, list | tuple):
        items = [_compile_native(item, scope, dynamic) for item in value]
        if all(isinstance(item, Fixed) for item in items):
            return Fixed([item.value for item in items if isinstance(item, Fixed)])
        return lambda context: [_value_of(item, context) for item in items]
    if isinstance(value, Mapping):
        entries = {text_of(key): _compile_native(item, scope, dynamic) for key, item in value.items()}
        if all(isinstance(item, Fixed) for item in entries.values()):
            return Fixed({key: item.value for key, item in entries.items() if isinstance(item, Fixed)})
        return lambda context: {key: _value_of(item, context) for key, item in entries.items()}
    return Fixed(value)


def _value_of(native: Native, context: RenderContext) -> object:
    return native.value if isinstance(native, Fixed) else native(context)
