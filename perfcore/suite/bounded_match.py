"""Regular expressions whose search ends: what a pattern does to a body nobody can foresee, so its time has a bound.

The syntax is that of Python's `re`, which compiles the pattern when it is read. The search itself is done by the
package `regex`, which takes the same patterns and a longest time; it costs some 2 µs more a search. Python's own
matcher cannot be stopped, and `(a+)+$` on forty letters would hold up a worker for hours.
"""

import re
import warnings
from functools import lru_cache
from typing import Any

from perfcore.suite.mistakes import shown

LONGEST_SEARCH_S = 1.0
_LONGEST_PATTERN = 10_000
_FLAGS = ("ASCII", "DOTALL", "IGNORECASE", "MULTILINE", "VERBOSE")


class SearchTooLongError(Exception):
    """The search was given up after LONGEST_SEARCH_S."""

    def __str__(self) -> str:
        return f"the pattern took longer than {LONGEST_SEARCH_S:.0f} s on this body"


def read_pattern(value: object) -> re.Pattern[str]:
    """A compiled pattern from its text; ValueError with what is wrong with it."""
    if not isinstance(value, str | re.Pattern) or (isinstance(value, re.Pattern) and value.flags & re.LOCALE):
        raise ValueError(f"{shown(value)} is not a regular expression")
    if isinstance(value, str) and len(value) > _LONGEST_PATTERN:
        raise ValueError(f"is a regular expression of more than {_LONGEST_PATTERN:,} characters")
    regex = _regex()
    try:
        # `[[` is warned of as something that a later Python may read otherwise.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = re.compile(value)
            if not isinstance(pattern.pattern, str):
                raise ValueError("it is one for bytes")
            _bounded(pattern)
    except (re.error, regex.error, OverflowError, RecursionError, ValueError) as error:
        text = value if isinstance(value, str) else value.pattern
        raise ValueError(f"{shown(text)} is not a regular expression: {error}") from None
    return pattern


def prepare(pattern: re.Pattern[str]) -> None:
    """Make ready what `is_found` needs, so that no answer waits for it."""
    _bounded(pattern)


def is_found(pattern: re.Pattern[str], text: str) -> bool:
    """Whether the pattern is found in the text. Raises SearchTooLongError."""
    try:
        return _bounded(pattern).search(text, timeout=LONGEST_SEARCH_S) is not None
    except TimeoutError:
        raise SearchTooLongError from None


def is_found_by_iregexp(pattern: str, text: str, *, whole: bool) -> bool:
    """The same for a pattern of JSONPath's `search` and `match` (RFC 9485), where a dot is no end of a line."""
    compiled = _bounded_iregexp(pattern)
    try:
        find = compiled.fullmatch if whole else compiled.search
        return find(text, timeout=LONGEST_SEARCH_S) is not None
    except TimeoutError:
        raise SearchTooLongError from None


@lru_cache(maxsize=1024)
def _bounded(pattern: re.Pattern[str]) -> Any:
    # The two packages number some flags differently.
    regex = _regex()
    flags = sum(int(getattr(regex, name)) for name in _FLAGS if pattern.flags & getattr(re, name))
    return regex.compile(pattern.pattern, flags)


@lru_cache(maxsize=1024)
def _bounded_iregexp(pattern: str) -> Any:
    in_class, parts = False, []
    for part in re.findall(r"\\.|.", pattern, re.DOTALL):
        if part in ("[", "]"):
            in_class = part == "["
        parts.append(r"[^\r\n]" if part == "." and not in_class else part)
    regex = _regex()
    return regex.compile("".join(parts), regex.VERSION1)


def _regex() -> Any:
    # Imported with the first pattern: it is 15 ms of every start, and few suites have one.
    import regex  # type: ignore[import-untyped]

    return regex
