"""The grammar of `${…}`: text in, parts out. Nothing is looked up here.

    $$                      a dollar sign
    ${NAME}  ${NAME:-text}  a value, or the text when there is none (or it is empty); the text may hold ${…}
    ${file:path}            what a file holds
    ${name(a, 'b, c', 3)}   a function; arguments are numbers, true, false, or text (quoted if it holds , or ))

A dollar sign before anything else is an ordinary character.
"""

import re
from dataclasses import dataclass

from perfcore.suite.mistakes import shown

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_CALL = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\((.*)\)", re.DOTALL)
# Spaces around a bare argument are taken with it: as a part of their own, many would be tried in every division.
_ARGUMENT = re.compile(r"""(?:\s*'([^']*)'\s*|\s*"([^"]*)"\s*|([^,'"]*))(,|$)""", re.DOTALL)
_BRACE = re.compile(r"\$\{|\}")
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?")
# Nobody nests defaults deeper; the bound keeps hostile text away from Python's recursion limit.
_DEEPEST_DEFAULT = 20


class TemplateSyntaxError(ValueError):
    """The text cannot be read as a template."""


@dataclass(frozen=True, slots=True)
class NamePart:
    name: str
    default: "tuple[Part, ...] | None"


@dataclass(frozen=True, slots=True)
class FilePart:
    path: str


@dataclass(frozen=True, slots=True)
class CallPart:
    function: str
    arguments: tuple[object, ...]


Part = str | NamePart | FilePart | CallPart


def parse(text: str, depth: int = 0) -> tuple[Part, ...]:
    """The parts of the text in order; neighbouring plain text is one part. Raises TemplateSyntaxError."""
    if depth > _DEEPEST_DEFAULT:
        raise TemplateSyntaxError("defaults are nested too deep")
    parts: list[Part] = []
    plain: list[str] = []
    position = 0
    while True:
        dollar = text.find("$", position)
        if dollar < 0 or dollar == len(text) - 1:
            plain.append(text[position:])
            break
        plain.append(text[position:dollar])
        following = text[dollar + 1]
        if following != "{":
            plain.append("$")
            position = dollar + (2 if following == "$" else 1)
            continue
        end = _closing_brace(text, dollar)
        if joined := "".join(plain):
            parts.append(joined)
        plain = []
        parts.append(_parse_reference(text[dollar + 2 : end], depth))
        position = end + 1
    if joined := "".join(plain):
        parts.append(joined)
    return tuple(parts)


def _closing_brace(text: str, start: int) -> int:
    """Where the `${` at `start` closes; each `${` inside has a closing brace of its own."""
    depth = 0
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace.group() == "${" else -1
        if depth == 0:
            return brace.start()
    raise TemplateSyntaxError(
        f"{shown(text[start:])} has no closing }}; a dollar sign before {{ is written $$"
    )


def _parse_reference(inner: str, depth: int) -> Part:
    if inner.startswith("file:"):
        path = inner[len("file:") :].strip()
        if not path:
            raise TemplateSyntaxError("${file:} has no path; write ${file:secrets/token}")
        return FilePart(path)
    name, separator, default = inner.partition(":-")
    if NAME.fullmatch(name):
        return NamePart(name, parse(default, depth + 1) if separator else None)
    call = _CALL.fullmatch(inner.strip())
    if call:
        return CallPart(call.group(1), _parse_arguments(call.group(2), inner))
    raise TemplateSyntaxError(
        f"{shown('${' + inner + '}')} is neither ${{NAME}}, ${{NAME:-default}}, ${{file:path}} nor a function "
        "such as ${uuid()}"
    )


def _parse_arguments(text: str, inner: str) -> tuple[object, ...]:
    if not text.strip():
        return ()
    arguments: list[object] = []
    position = 0
    while True:
        match = _ARGUMENT.match(text, position)
        if match is None:
            raise TemplateSyntaxError(
                f"the arguments of {shown('${' + inner + '}')} are not separated by commas"
            )
        single, double, bare, separator = match.groups()
        bare = (bare or "").strip()
        quoted = single if single is not None else double
        if quoted is None and not bare:
            raise TemplateSyntaxError(
                f"{shown('${' + inner + '}')} has an empty argument; write '' for empty text"
            )
        arguments.append(quoted if quoted is not None else _bare_value(bare))
        if not separator:
            return tuple(arguments)
        position = match.end()


def _bare_value(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def holds_reference(text: str) -> bool:
    """Whether the text would be read as anything but itself."""
    return "${" in text or "$$" in text


def escaped(text: str) -> str:
    """A template that gives exactly this text."""
    return text.replace("$", "$$") if holds_reference(text) else text
