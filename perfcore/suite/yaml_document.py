"""YAML text to plain data, with the place of every key.

Read from the parser's events, not with PyYAML's constructors: nothing is ever constructed but text, numbers,
booleans, null, lists and mappings. Nesting, the number of values and the length of texts (aliases expanded) have
a bound. Scalars are resolved as YAML 1.2's core schema does, so that `no`, `1:30` and 2024-12-02 stay text. For
plain scalars that became a number or boolean the spelling is kept, because where text is wanted 1.10 means 1.10.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from perfcore.suite.mistakes import KeyPath, Mistake, shown

# A suite of a thousand tests has some ten thousand values; above the bound, loading would take over a second.
MOST_VALUES = 100_000
# Of one mapping: what is looked at key by key, some with an eye to all others.
MOST_KEYS = 30_000
DEEPEST = 100
# A text counts as one value more for so many characters, and for each `${`, which is looked up on its own.
CHARACTERS_A_VALUE = 500
# Python converts 4,300 decimal digits, which are some 3,500 hexadecimal ones.
_MOST_DIGITS = 3_000

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}
# What YAML's scanner refuses: control characters but tab and line breaks, and half of a surrogate pair.
_UNREADABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\ud800-\udfff\ufffe\uffff]")


_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Place(NamedTuple):
    """Line and column, both from 1."""

    line: int
    column: int


class UnreadableError(ValueError):
    """The text cannot be read on: the place and one mistake."""

    def __init__(self, place: Place, text: str, path: KeyPath = ()) -> None:
        super().__init__(text)
        self.place = place
        self.mistake = Mistake(path, text)


@dataclass
class Document:
    """`spellings` has how plain numbers and booleans were written. `mistakes` did not stop the reading."""

    data: object = None
    places: dict[KeyPath, Place] = field(default_factory=dict)
    spellings: dict[KeyPath, str] = field(default_factory=dict)
    mistakes: list[tuple[Place, Mistake]] = field(default_factory=list)

    def place_of(self, path: KeyPath) -> Place:
        """Where the key is, or the nearest one around it that the text has."""
        for length in range(len(path), -1, -1):
            place = self.places.get(path[:length])
            if place is not None:
                return place
        return Place(1, 1)


def read_yaml(text: str) -> Document:
    """Raises UnreadableError for text that is not YAML, or too much of it."""
    unreadable = _UNREADABLE.search(text)
    if unreadable:
        place = place_after(text[: unreadable.start()])
        raise UnreadableError(place, f"the control character {ord(unreadable.group()):#04x} is not text")
    try:
        return _Reader(text).read()
    except yaml.MarkedYAMLError as error:
        raise _syntax_mistake(error, text) from None
    except yaml.YAMLError as error:
        raise UnreadableError(Place(1, 1), f"is not YAML: {' '.join(str(error).split())}") from None


def place_after(text: str) -> Place:
    """The place of what follows this beginning of a text; lines end where YAML ends them."""
    lines = _LINE_BREAK.split(text)
    return Place(len(lines), len(lines[-1]) + 1)


def _syntax_mistake(error: yaml.MarkedYAMLError, text: str) -> UnreadableError:
    mark = error.problem_mark or error.context_mark
    place = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    lines = _LINE_BREAK.split(text)
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    hint = ""
    if "\t" in line[: max(len(line) - len(line.lstrip()), place.column)]:
        hint = "; indent with spaces, not tabs"
    elif "${" in line:
        hint = "; inside { } and [ ], put ${…} in quotes"
    elif line[place.column - 1 : place.column] in ("@", "`", "%", "*", "&", "!"):
        hint = "; put the value in quotes"
    problem = (error.problem or error.context or "cannot be read").strip()
    return UnreadableError(place, f"is not YAML: {problem}{hint}")


class _Reader:
    """Builds the data from events, one call a node; the depth of calls is bounded by DEEPEST."""

    def __init__(self, text: str) -> None:
        # One call an event; yaml.parse makes three.
        self._next: Callable[[], Event] = _Loader(text).get_event
        self._document = Document()
        self._values = 0
        # Anchored values with the number of values in them; None while the anchored node is still being read.
        self._anchors: dict[str, tuple[object, int] | None] = {}

    def read(self) -> Document:
        found = False
        while not isinstance(event := self._next(), StreamEndEvent):
            if isinstance(event, DocumentStartEvent):
                if found:
                    self._stop(event, (), "starts a second document; a suite file holds one")
                found = True
                self._document.data = self._node(self._next(), ())
        return self._document

    def _node(self, event: Event, path: KeyPath) -> object:
        self._count(event, path)
        if isinstance(event, AliasEvent):
            return self._alias(event, path)
        # Every other event that begins a node has both.
        tag, anchor = event.tag, event.anchor  # type: ignore[attr-defined]
        if tag is not None:
            self._mistake(event, path, f"the tag {shown(tag)} is not supported; remove it")
        if anchor is not None:
            self._anchors[anchor] = None
        before = self._values
        value: object
        if isinstance(event, ScalarEvent):
            text = event.value
            if more := len(text) // CHARACTERS_A_VALUE + text.count("${"):
                self._count(event, path, more)
            value = self._scalar(event, path)
        elif len(path) >= DEEPEST:
            self._stop(event, path[:3], f"is nested more than {DEEPEST} deep")
        elif isinstance(event, SequenceStartEvent):
            value = self._sequence(path)
        else:
            value = self._mapping(path)
        if anchor is not None:
            self._anchors[anchor] = (value, self._values - before + 1)
        return value

    def _count(self, event: Event, path: KeyPath, values: int = 1) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            aliases = ", aliases expanded" if self._anchors else ""
            self._stop(event, path[:3], f"the file comes to more than {MOST_VALUES:,} values{aliases}")

    def _alias(self, event: AliasEvent, path: KeyPath) -> object:
        if event.anchor not in self._anchors:
            name = shown(event.anchor, quote="")
            self._mistake(event, path, f"*{name} stands for nothing; there is no &{name} before it")
            return None
        anchored = self._anchors[event.anchor]
        if anchored is None:
            self._stop(event, path, f"*{shown(event.anchor, quote='')} stands inside what it stands for")
        value, size = anchored
        self._count(event, path, size - 1)
        return value

    def _scalar(self, event: ScalarEvent, path: KeyPath) -> object:
        if event.style:  # quoted or a block; the C parser says "" for plain, the other None
            return event.value
        value = core_value(event.value)
        if value is not None and not isinstance(value, str):
            self._document.spellings[path] = event.value
        return value

    def _sequence(self, path: KeyPath) -> list[object]:
        items: list[object] = []
        while not isinstance(event := self._next(), SequenceEndEvent):
            item_path = (*path, len(items))
            self._document.places[item_path] = _place(event)
            items.append(self._node(event, item_path))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, object]:
        mapping: dict[str, object] = {}
        merged: list[dict[str, object]] = []
        while not isinstance(event := self._next(), MappingEndEvent):
            if isinstance(event, ScalarEvent) and event.value == "<<" and not event.style:
                merged += self._merge_key(event, path)
                continue
            key = self._key(event, path)
            key_path = (*path, key)
            if key not in mapping:
                if len(mapping) >= MOST_KEYS:
                    self._stop(event, path[:3], f"has more than {MOST_KEYS:,} keys")
                self._document.places[key_path] = _place(event)
                mapping[key] = self._node(self._next(), key_path)
                continue
            first = self._document.places[key_path].line
            self._mistake(event, key_path, f"is given twice, first on line {first}; remove one of them")
            self._node(self._next(), (*path, f"{key} (again)"))
        for source in merged:
            for key, value in source.items():
                mapping.setdefault(key, value)
        return mapping

    def _key(self, event: Event, path: KeyPath) -> str:
        if isinstance(event, ScalarEvent) and event.tag is None:
            self._count(event, path)
            return str(event.value)
        value = self._node(event, (*path, "(key)"))
        if not isinstance(event, ScalarEvent) and not isinstance(value, str):
            self._mistake(event, path, "a key must be text; text that starts with {, [ or * needs quotes")
        return value if isinstance(value, str) else "(key)"

    def _merge_key(self, event: Event, path: KeyPath) -> list[dict[str, object]]:
        """The mappings that `<<: *defaults` or `<<: [*one, *two]` brings in; own keys go over them."""
        value = self._node(self._next(), (*path, "<<"))
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(source, dict) for source in sources):
            self._mistake(event, path, "<< merges mappings only, such as *defaults")
            return []
        return [source for source in sources if isinstance(source, dict)]

    def _mistake(self, event: Event, path: KeyPath, text: str) -> None:
        self._document.mistakes.append((_place(event), Mistake(path, text)))

    def _stop(self, event: Event, path: KeyPath, text: str) -> NoReturn:
        raise UnreadableError(_place(event), text, path)


def _place(event: Event) -> Place:
    mark = event.start_mark
    return Place(mark.line + 1, mark.column + 1) if mark is not None else Place(1, 1)


def core_value(text: str) -> object:
    """A plain scalar by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in "+-.0123456789":
        return text
    if _INTEGER.fullmatch(text):
        if len(text) > _MOST_DIGITS:
            return text
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
