"""How a secret may be written: as it is, with its own escapes undone, in base64 and in hexadecimal.

Escapes are not enumerated here: they are undone in the text that is looked at (`decoded_text`). In base64 a value
has three spellings, by how many bytes of other text stand before it; of each, the characters count which depend on
the value alone.
"""

import base64
import re
from collections.abc import Iterator
from contextlib import suppress

from perfcore.suite.decoded_text import decodings

# Shorter values are masked where they stand alone, but not looked for inside text: masking every "1" would ruin
# the figures.
SHORTEST_IN_TEXT = 4
# Lines of a secret of several lines (a key file) are secrets too, unless they are as short as a marker.
_SHORTEST_LINE = 16
_WHITESPACE = re.compile(r"\s+")


def folded(text: str) -> str:
    """The text in lower case, character for character: escapes, host names and messages change the case."""
    if text.isascii():
        return text.lower()
    return text.replace("İ", "i").lower().replace("ς", "σ")


def plain_forms(value: str) -> Iterator[str]:
    """What the value looks like once all escapes of a text are undone."""
    for text in dict.fromkeys((value, value.strip())):
        for decoding in decodings(text):
            yield decoding.text
            # As a form writes spaces, and as a message shows what cannot be printed.
            yield decoding.text.replace(" ", "+")
            if not decoding.text.isprintable():
                yield "".join(char if char.isprintable() else "�" for char in decoding.text)
    with suppress(UnicodeEncodeError):
        encoded = value.encode()
        yield encoded.hex()
        if not value.isascii():
            yield encoded.decode("latin-1")  # as a header is read
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _SHORTEST_LINE)
        yield _WHITESPACE.sub(" ", value.strip())
        yield _WHITESPACE.sub("", value)


def base64_forms(value: str) -> Iterator[str]:
    """The value in base64, alone and as a part of a longer text."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        return
    for before in range(3):
        code = base64.b64encode(bytes(before) + encoded).decode().rstrip("=")
        # The characters at the ends hold bits of their neighbours as well.
        own = code[-(-8 * before // 6) : 8 * (before + len(encoded)) // 6]
        for form in (own,) if before or own == code else (own, code):
            yield form
            if "+" in form or "/" in form:
                yield form.replace("+", "-").replace("/", "_")
