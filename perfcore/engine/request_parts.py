"""What a request is put together from: parts that are constant, or rendered for each request.

A part that depends on nothing was made when the suite was compiled and costs nothing per request.
"""

from collections.abc import Callable, Mapping
from typing import Generic, TypeVar
from urllib.parse import quote

from perfcore.suite.template import JsonTemplate, RenderContext, Template, compile_text
from perfcore.suite.text_template import Scope

T = TypeVar("T")


class Part(Generic[T]):
    """A constant, or a function of the context (`render`)."""

    __slots__ = ("constant", "render")

    def __init__(self, constant: T | None = None, render: Callable[[RenderContext], T] | None = None) -> None:
        self.constant = constant
        self.render = render

    def value(self, context: RenderContext) -> T:
        if self.render is not None:
            return self.render(context)
        assert self.constant is not None
        return self.constant


def part_of(template: Template | JsonTemplate, finish: Callable[..., T]) -> Part[T]:
    """What `finish` makes of the template's text (or bytes)."""
    if template.constant is not None:
        return Part(finish(template.constant))
    render = template.render
    return Part(render=lambda context: finish(render(context)))


def text_part(text: str, scope: Scope) -> Part[str]:
    return part_of(compile_text(text, scope), str)


def joined(parts: list[Part[str]], finish: Callable[[list[str]], T]) -> Part[T]:
    """One part made of several texts."""
    if all(part.render is None for part in parts):
        return Part(finish([part.constant or "" for part in parts]))
    return Part(render=lambda context: finish([part.value(context) for part in parts]))


def encoded_pairs(entries: Mapping[str, object], scope: Scope) -> list[tuple[str, Part[str]]]:
    """Names and values of a query or a form, percent-encoded; a list gives its name several times."""
    return [
        (quote(str(name), safe=""), part_of(compile_text(_plain(item), scope), _encoded))
        for name, value in entries.items()
        for item in (value if isinstance(value, list | tuple) else [value])
    ]


def joined_pairs(pairs: list[tuple[str, Part[str]]], texts: list[str]) -> str:
    """`a=1&b=2`"""
    return "&".join(f"{name}={text}" for (name, _), text in zip(pairs, texts, strict=True))


def one_line(text: str) -> str:
    # A value that came from a file or a variable must not be able to add headers of its own.
    return text.replace("\r", " ").replace("\n", " ")


def _encoded(text: str) -> str:
    return quote(text, safe="-._~")


def _plain(value: object) -> str:
    """A YAML scalar as it is written in a query or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
