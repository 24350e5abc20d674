"""Finds secret values in texts, in time that depends little on how many there are.

The forms of all values are kept by their first four characters, so that each place of a text costs one look into
a dictionary, whether there are ten secrets or a thousand.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from perfcore.suite.decoded_text import DecodedText, decodings
from perfcore.suite.secret_forms import SHORTEST_IN_TEXT, base64_forms, folded, plain_forms

Span = tuple[int, int]

# Where a message was shortened: what stands before may be the beginning of a secret.
_CUT_MARK = re.compile(r"…|\.\.\.")
# What an escape leaves at the end of a text that was cut in the middle of it.
_CUT_ESCAPE = re.compile(r"(?:%[0-9a-fA-F]?|\\(?:u[0-9a-fA-F]{0,3}|x[0-9a-fA-F]?)?|&#?\w{0,8}|�+)$")
_BASE64_BEFORE = re.compile(r"[A-Za-z0-9+/_-]*$")
_BASE64_AFTER = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")


class SecretIndex:
    """The forms of some values; `spans` gives where in a text they stand."""

    def __init__(self, values: Iterable[str]) -> None:
        plain, coded = set[str](), set[str]()
        for value in {value for value in values if value.strip()}:
            if len(value) >= SHORTEST_IN_TEXT:
                plain.update(map(folded, plain_forms(value)))
                coded.update(map(folded, base64_forms(value)))
        self._coded = {form for form in coded - plain if len(form) >= SHORTEST_IN_TEXT}
        self._by_start: dict[str, list[str]] = {}
        self._longest = 0
        for form in sorted({*self._coded, *plain}, key=len, reverse=True):
            if len(form) >= SHORTEST_IN_TEXT and not form.isspace():
                self._by_start.setdefault(form[:SHORTEST_IN_TEXT], []).append(form)
                self._longest = max(self._longest, len(form))

    def spans(self, text: str, *, is_cut: bool = False) -> Iterator[Span]:
        """Each place that holds a secret, in no order; they may overlap.

        With `is_cut` the text may end in the middle of a secret; then its end counts from four characters on.
        """
        if not self._by_start or len(text) < SHORTEST_IN_TEXT:
            return
        for decoding in decodings(text):
            for start, end in self._matches(decoding, is_cut):
                yield decoding.starts[start], decoding.starts[end]

    def _matches(self, decoding: DecodedText, is_cut: bool) -> Iterator[Span]:
        text = folded(decoding.text)
        cuts = list(_cuts(text, is_cut))
        by_start = self._by_start
        for at in range(len(text) - SHORTEST_IN_TEXT + 1):
            candidates = by_start.get(text[at : at + SHORTEST_IN_TEXT])
            if candidates is None:
                continue
            for form in candidates:
                if text.startswith(form, at):
                    end = at + len(form)
                    yield _whole_run(text, at, end) if form in self._coded else (at, end)
                    break
            for cut, end in cuts[bisect_left(cuts, (at + SHORTEST_IN_TEXT, 0)) :]:
                if cut - at >= self._longest:
                    break
                beginning = text[at:cut]
                if any(form.startswith(beginning) for form in candidates):
                    yield at, end


def _cuts(text: str, is_cut: bool) -> Iterator[Span]:
    """Where the text breaks off, and how far the rest of what is broken off goes."""
    yield from ((match.start(), match.start()) for match in _CUT_MARK.finditer(text))
    if is_cut:
        escape = _CUT_ESCAPE.search(text)
        if escape:
            yield escape.start(), len(text)
        yield len(text), len(text)


def _whole_run(text: str, start: int, end: int) -> Span:
    """Base64 that holds a secret goes as a whole: its neighbours share characters with the secret."""
    before = _BASE64_BEFORE.search(text, max(0, start - 256), start)
    after = _BASE64_AFTER.match(text, end)
    return (before.start() if before else start), (after.end() if after else end)


def without(text: str, spans: Iterable[Span], mask: str) -> str:
    """The text with the mask in place of each stretch that spans cover."""
    pieces: list[str] = []
    position = 0
    for start, end in _joined(spans):
        pieces += (text[position:start], mask)
        position = end
    return "".join((*pieces, text[position:]))


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    current: Span | None = None
    for start, end in sorted(spans):
        if current is None:
            current = (start, end)
        elif start <= current[1]:
            current = (current[0], max(current[1], end))
        else:
            yield current
            current = (start, end)
    if current is not None:
        yield current
