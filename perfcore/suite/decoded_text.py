"""A text with its escapes undone, which knows where each of its characters came from.

Percent-encoding, JSON, Python, regular expressions, HTML and XML write a character as an escape, and an encoder
may escape what another leaves alone. So a value is looked for in the text as it is, with its escapes undone once,
twice, three times: then it does not matter who wrote it, nor that there was JSON inside of JSON.
"""

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

# JSON in JSON in a URL is three; nobody nests deeper by accident.
DEEPEST = 3

_ESCAPE = re.compile(
    r"(?:%[0-9a-fA-F]{2})+|(?:\\u[0-9a-fA-F]{4})+|(?:\\x[0-9a-fA-F]{2})+|\\[^ux]|"
    r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z]{2,8});",
    re.DOTALL,
)
# Without one of these there is no escape; the alternatives above are tried at every character.
_MARK = re.compile(r"[%\\&]")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "0": "\0"}


class DecodedText(NamedTuple):
    """`starts[i]` is where in the original the i-th character begins; one more entry for its end."""

    text: str
    starts: list[int] | range


def as_it_is(text: str) -> DecodedText:
    return DecodedText(text, range(len(text) + 1))


def decodings(text: str) -> Iterator[DecodedText]:
    """The text itself, then with its escapes undone as long as there are any."""
    current = as_it_is(text)
    yield current
    for _ in range(DEEPEST):
        following = _decoded_once(current)
        if following is None:
            return
        yield following
        current = following


def _decoded_once(before: DecodedText) -> DecodedText | None:
    if not _MARK.search(before.text):
        return None
    pieces: list[str] = []
    starts: list[int] = []
    position = 0
    changed = False
    for match in _ESCAPE.finditer(before.text):
        decoded = _characters(match[0])
        if decoded is None:
            continue
        changed = True
        pieces.append(before.text[position : match.start()])
        starts += before.starts[position : match.start()]
        offset = match.start()
        for char, length in decoded:
            pieces.append(char)
            starts.append(before.starts[offset])
            offset += length
        position = match.end()
    if not changed:
        return None
    pieces.append(before.text[position:])
    starts += before.starts[position:]
    return DecodedText("".join(pieces), starts)


def _characters(escape: str) -> list[tuple[str, int]] | None:
    """Each character of a run of escapes and how long its escape is; None for what only looks like one."""
    if escape[0] == "%":
        return _of_bytes(escape, "%")
    if escape[0] == "&":
        # A reference of two characters is rare, and then the second has no source of its own.
        char = html.unescape(escape)
        return [(char, len(escape))] if len(char) == 1 else None
    kind = escape[1]
    if kind == "u":
        units = bytes.fromhex(escape.replace("\\u", ""))
        text = units.decode("utf-16-be", "surrogatepass")
        return [(char, 12 if ord(char) > 0xFFFF else 6) for char in text]
    if kind == "x":
        return _of_bytes(escape, "\\x")
    if kind in _CONTROLS:
        return [(_CONTROLS[kind], 2)]
    return None if kind.isalnum() else [(kind, 2)]


def _of_bytes(escapes: str, mark: str) -> list[tuple[str, int]]:
    """Each byte has the mark and two digits; they are UTF-8, or else characters of Latin-1."""
    encoded, length = bytes.fromhex(escapes.replace(mark, "")), len(mark) + 2
    try:
        return [(char, length * len(char.encode())) for char in encoded.decode()]
    except UnicodeDecodeError:
        return [(char, length) for char in encoded.decode("latin-1")]
