"""What is wrong with a suite, and how it is told.

A Mistake names the place inside the data (a key path) and says what is wrong and what would be right. Models
and templates know key paths only; the loader turns them into file, line and column.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from perfcore.errors import SuiteError

KeyPath = tuple[str | int, ...]

# A message stays one readable line however long the value is that it quotes.
_QUOTED_CHARACTERS = 60
# What packages say about a pattern or a JSONPath quotes it, however long it is.
_LONGEST_TEXT = 500
# Whoever has more of them has one that makes the others; the rest is told when these are put right.
MOST_TOLD = 100
# A key path of more parts is told by its first ones.
_MOST_PARTS = 12
# Words are compared one by one: with more of them, a file of many mistakes would take seconds.
_MOST_COMPARED = 2_000


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
        lines = [told(title, mistake) for mistake in found[:MOST_TOLD]]
        if len(found) > MOST_TOLD:
            lines.append(f"{title}: … and {more_mistakes(len(found) - MOST_TOLD)}")
        super().__init__(lines)


def more_mistakes(count: int) -> str:
    return f"{count:,} more mistake{'s' if count != 1 else ''}"


def told(where: str, mistake: Mistake) -> str:
    """One line for a human: where it is, the key path, what is wrong. Bounded, and nothing that a terminal obeys."""
    text = _printable(mistake.text)
    if len(text) > _LONGEST_TEXT:
        text = text[: _LONGEST_TEXT - 1] + "…"
    return ": ".join(part for part in (where, path_text(mistake.path), text) if part)


def path_text(path: KeyPath) -> str:
    """`tests[1].headers.Accept`; a key that is no plain word is quoted: `expect.json["$.id"]`."""
    text = ""
    for part in path[:_MOST_PARTS]:
        if isinstance(part, int):
            text += f"[{part}]"
        elif len(part) <= _QUOTED_CHARACTERS and part.replace("-", "_").isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{shown(part, quote=chr(34))}]"
    return text + "…" * (len(path) > _MOST_PARTS)


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
        return _cut(_printable(repr(value)))
    return f"{quote}{_cut(_printable(value[: _QUOTED_CHARACTERS + 1]))}{quote}"


def _printable(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "�" for c in text)


def _cut(text: str) -> str:
    return text if len(text) <= _QUOTED_CHARACTERS else text[: _QUOTED_CHARACTERS - 1] + "…"


def suggestion(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'iterations'?` when one of the known words is close, else nothing."""
    return "" if len(word) > _QUOTED_CHARACTERS else _suggestion(word, tuple(islice(known, _MOST_COMPARED)))


# A file that spells a key wrong mostly does so in every test.
@lru_cache(maxsize=256)
def _suggestion(word: str, known: tuple[str, ...]) -> str:
    import difflib

    choices = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(word.lower(), list(choices), n=1, cutoff=0.7)
    return f"; did you mean {shown(choices[close[0]])}?" if close else ""


def listed(words: Iterable[str], most: int = 20) -> str:
    """The words with commas; of many the first ones, and how many more there are."""
    every = list(words)
    rest = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(word if len(word) <= _QUOTED_CHARACTERS else shown(word) for word in every[:most]) + rest
