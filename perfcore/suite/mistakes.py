"""What is wrong with a suite, and how it is told.

A Mistake names the place inside the data (a key path) and says what is wrong and what would be right. Models
and templates know key paths only; the loader turns them into file, line and column.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from perfcore.errors import SuiteError

KeyPath = tuple[str | int, ...]

# A message stays one readable line however long the value is that it quotes.
_QUOTED_CHARACTERS = 60


class Mistake(NamedTuple):
    path: KeyPath
    text: str

    def under(self, prefix: KeyPath) -> "Mistake":
        return Mistake(prefix + self.path, self.text)


class ModelError(SuiteError):
    """A model was given wrong values. `found` keeps the key paths that `mistakes` has as text."""

    def __init__(self, title: str, found: Sequence[Mistake]) -> None:
        self.title = title
        self.found = tuple(found)
        super().__init__([told(title, mistake) for mistake in found])


def told(where: str, mistake: Mistake) -> str:
    """One line for a human: where it is, the key path, what is wrong."""
    return ": ".join(part for part in (where, path_text(mistake.path), mistake.text) if part)


def path_text(path: KeyPath) -> str:
    """`tests[1].headers.Accept`; a key that is no plain word is quoted: `expect.json["$.id"]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part, quote=chr(34))}]"
    return text


def shown(value: object, quote: str = "'") -> str:
    """The value as it may stand in a message: one line, bounded, YAML's words for null, true and false."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, int) and abs(value) >= 10**_QUOTED_CHARACTERS:
        return "a number of more than 60 digits"
    if not isinstance(value, str):
        return _cut(repr(value))
    printable = "".join(c if c.isprintable() else "�" for c in value[: _QUOTED_CHARACTERS + 1])
    return f"{quote}{_cut(printable)}{quote}"


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 1] + "…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'iterations'?` when one of the known words is close, else nothing."""
    import difflib

    if len(word) > _QUOTED_CHARACTERS:
        return ""
    choices = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.7)
    return f"; did you mean {choices[close[0]]!r}?" if close else ""
