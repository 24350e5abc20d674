"""JSON bodies with `${…}`, compiled to bytes around holes.

A body is sent as often as the machine can, so everything that does not depend on the request is serialised once;
per request only the holes are, and one join makes the body. A string that is exactly one `${…}` takes the value's
own type.
"""

import math
import re
from collections.abc import Callable, Mapping

from perfcore.suite.json_text import json_bytes
from perfcore.suite.mistakes import KeyPath, Mistake, shown, told
from perfcore.suite.template_functions import RenderContext
from perfcore.suite.text_template import (
    NO_DYNAMIC_NAMES,
    Fixed,
    Problem,
    Scope,
    TemplateError,
    compile_text,
    text_of,
)

_DEEPEST = 200
# Printable ASCII without a template and without what JSON escapes: most texts, and ten times as fast.
_AS_IT_IS = re.compile(r"[ !#%-\[\]-~]*")

Hole = Callable[[RenderContext], bytes]


class JsonTemplate:
    """A compiled JSON body. `constant` is its bytes when nothing in it depends on the request, else None."""

    __slots__ = ("_holes", "_parts", "constant")

    def __init__(self, pieces: list[bytes | Hole]) -> None:
        self._parts: list[bytes] = []
        self._holes: list[tuple[int, Hole]] = []
        run: list[bytes] = []
        for piece in pieces:
            if isinstance(piece, bytes):
                run.append(piece)
                continue
            self._parts += [b"".join(run), b""]
            self._holes.append((len(self._parts) - 1, piece))
            run = []
        self._parts.append(b"".join(run))
        self.constant: bytes | None = None if self._holes else self._parts[0]

    def render(self, context: RenderContext) -> bytes:
        if self.constant is not None:
            return self.constant
        parts = self._parts.copy()
        for index, hole in self._holes:
            parts[index] = hole(context)
        return b"".join(parts)


def compile_json(value: object, scope: Scope, dynamic: frozenset[str] = NO_DYNAMIC_NAMES) -> JsonTemplate:
    """Raises TemplateError with everything that is wrong, each with its key path."""
    problems: list[tuple[KeyPath, Problem]] = []
    pieces: list[bytes | Hole] = []
    _Compiler(scope, dynamic, pieces, problems).add(value, ())
    if problems:
        raise JsonTemplateError(problems)
    return JsonTemplate(pieces)


class JsonTemplateError(TemplateError):
    """`placed` has each problem with its key path inside the body."""

    def __init__(self, placed: list[tuple[KeyPath, Problem]]) -> None:
        super().__init__(*(Problem(told("", Mistake(path, text)), names) for path, (text, names) in placed))
        self.placed = tuple(placed)


class _Compiler:
    """Walks the value once and appends what it becomes: bytes, or a hole to be filled per request."""

    def __init__(
        self,
        scope: Scope,
        dynamic: frozenset[str],
        pieces: list[bytes | Hole],
        problems: list[tuple[KeyPath, Problem]],
    ) -> None:
        self._scope = scope
        self._dynamic = dynamic
        self._pieces = pieces
        self._problems = problems

    def add(self, value: object, path: KeyPath) -> None:
        if len(path) > _DEEPEST:
            self._problems.append((path[:3], Problem("is nested too deep")))
        elif isinstance(value, str):
            self._add_text(value, path, as_key=False)
        elif isinstance(value, Mapping):
            self._add_mapping(value, path)
        elif isinstance(value, list | tuple):
            self._add_list(value, path)
        elif isinstance(value, float) and not math.isfinite(value):
            self._problems.append((path, Problem(f"{value} is not a number that JSON can hold")))
        else:
            self._add_constant(value, path)

    def _add_mapping(self, value: Mapping[object, object], path: KeyPath) -> None:
        self._pieces.append(b"{")
        for number, (key, entry) in enumerate(value.items()):
            if number:
                self._pieces.append(b",")
            name = text_of(key) if not isinstance(key, bool | None) else str(key).lower()
            self._add_text(name, (*path, name), as_key=True)
            self._pieces.append(b":")
            self.add(entry, (*path, name))
        self._pieces.append(b"}")

    def _add_list(self, value: list[object] | tuple[object, ...], path: KeyPath) -> None:
        self._pieces.append(b"[")
        for number, entry in enumerate(value):
            if number:
                self._pieces.append(b",")
            self.add(entry, (*path, number))
        self._pieces.append(b"]")

    def _add_text(self, text: str, path: KeyPath, *, as_key: bool) -> None:
        try:
            if _AS_IT_IS.fullmatch(text):
                self._scope.count_plain(text)
                self._pieces.append(b'"%b"' % text.encode())
                return
            template = compile_text(text, self._scope, self._dynamic)
        except TemplateError as error:
            self._problems += [(path, problem) for problem in error.problems]
            return
        if template.constant is not None and (as_key or isinstance(template.native, Fixed)):
            native = template.native.value if isinstance(template.native, Fixed) else template.constant
            self._add_constant(template.constant if as_key else native, path)
        elif as_key:
            self._pieces.append(lambda context: json_bytes(template.render(context)))
        else:
            self._pieces.append(lambda context: json_bytes(template.value(context)))

    def _add_constant(self, value: object, path: KeyPath) -> None:
        try:
            self._pieces.append(json_bytes(value))
        except (ValueError, RecursionError) as error:
            text = f"{shown(value)} is nothing that JSON can hold: {error}"
            self._problems.append((path, Problem(text)))
