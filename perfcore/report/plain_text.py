"""Text for a stream that may not know its characters: what its encoding lacks is said with plainer ones."""

from typing import TextIO

_PLAIN = str.maketrans(
    {"–": "-", "≥": ">", "≤": "<", "×": "x", "µ": "u", "·": "-", "→": ">", "…": "~", "█": "#", "✓": "+", "✗": "x"}
    | {"●": "*", "○": "o", "◉": "@", "│": "|", "─": "-", "└": "+", "┤": "+", "┄": "-", "±": "~", "−": "-"}
    | dict.fromkeys("▏▎▍▌▋▊▉", "#")
    | dict(zip("▁▂▃▄▅▆▇", "._-=+*%", strict=True))
)  # fmt: skip


def write_text(text: str, stream: TextIO) -> None:
    """Written and flushed. OSError and ValueError of the stream are the caller's."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, "replace").decode(encoding)
    stream.write(text)
    stream.flush()
