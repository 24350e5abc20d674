"""Text laid out for a terminal: columns by width, colour by name, and nothing raw from outside.

Width is counted in terminal cells (a CJK character takes two). A table never wraps: columns go in the order
in which they can best be missed, then the first column is shortened. Sentences wrap at words.
"""

import os
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TextIO

from rich.cells import cell_len, set_cell_size

from perfcore.report.printable import printable

_SGR = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_GAP = "  "
_SHORTEST_NAME = 16


class Cell(NamedTuple):
    text: str
    style: str = ""


class Column(NamedTuple):
    """`drop` 0 stays whatever the width; of the others the lowest goes first when there is no room."""

    title: str
    drop: int = 0
    left: bool = False


def cut(text: str, width: int) -> str:
    """At most `width` cells, an ellipsis for what is missing at the end."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + "…" if width > 0 else ""


def cut_middle(text: str, width: int) -> str:
    """At most `width` cells with both ends kept: names that differ tend to differ there."""
    if cell_len(text) <= width or width < 5:
        return cut(text, width)
    tail = text[-(width // 3) :]
    while cell_len(tail) > width // 3:
        tail = tail[1:]
    return set_cell_size(text, width - 1 - cell_len(tail)) + "…" + tail


def pad(text: str, width: int, left: bool = True) -> str:
    spaces = " " * max(width - cell_len(text), 0)
    return text + spaces if left else spaces + text


def terminal_width(stream: TextIO) -> int | None:
    """Of the terminal that the stream goes to, None where there is none."""
    try:
        if stream.isatty():
            return max(os.get_terminal_size(stream.fileno()).columns, 40)
    except (OSError, ValueError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class Sheet:
    """The page that is written on; one that is not `is_cut` (a file, a pipe) has its width but loses nothing."""

    width: int
    color: bool = False
    is_cut: bool = True

    def cut(self, text: str, width: int | None = None) -> str:
        """At most so many cells, the page's own width unless told otherwise."""
        return cut(text, self.width if width is None else width) if self.is_cut else text

    def cut_middle(self, text: str, width: int) -> str:
        return cut_middle(text, width) if self.is_cut else text

    def paint(self, text: str, style: str) -> str:
        """The text in the styles named (`bold red`), as it is without colour."""
        if not self.color or not style or not text.strip():
            return text
        return f"\x1b[{';'.join(_SGR[name] for name in style.split())}m{text}\x1b[0m"

    def title(self, text: str, note: str = "") -> str:
        left = self.width - cell_len(text) - len(_GAP)
        return self.paint(text, "bold") + (_GAP + self.paint(self.cut(note, left), "dim") if note else "")

    def sentence(self, text: str, style: str = "", first: str = "  ", rest: str | None = None) -> list[str]:
        """A sentence from outside the tables: wrapped at words, `first` and `rest` before its lines."""
        lines = textwrap.wrap(
            printable(text),
            width=max(self.width, 20),
            initial_indent=first,
            subsequent_indent=" " * cell_len(first) if rest is None else rest,
            break_on_hyphens=False,
            break_long_words=False,
        )
        return [self.paint(line, style) for line in lines]

    def table(
        self, columns: Sequence[Column], rows: Sequence[Sequence[Cell]], indent: str = "  "
    ) -> list[str]:
        """A line of titles and a line a row. The first column takes what room the others leave."""
        widths = [
            max(cell_len(text) for text in (column.title, *(row[index].text for row in rows)))
            for index, column in enumerate(columns)
        ]
        kept = list(range(len(columns)))
        if self.is_cut:
            kept = self._fitting(columns, widths, len(indent))
            room = self.width - len(indent) - sum(widths[index] + len(_GAP) for index in kept[1:])
            widths[0] = max(min(widths[0], room), 1)
        lines = [[Cell(column.title, "dim") for column in columns], *rows]
        return [indent + self._line(columns, cells, widths, kept) for cells in lines]

    def _fitting(self, columns: Sequence[Column], widths: Sequence[int], indent: int) -> list[int]:
        kept = list(range(len(columns)))
        for index in sorted((i for i in kept if columns[i].drop), key=lambda i: columns[i].drop):
            name = min(widths[0], max(_SHORTEST_NAME, self.width // 5))
            if indent + name + sum(widths[i] + len(_GAP) for i in kept[1:]) <= self.width:
                break
            kept.remove(index)
        return kept

    def _line(
        self, columns: Sequence[Column], cells: Sequence[Cell], widths: Sequence[int], kept: Sequence[int]
    ) -> str:
        parts = []
        for index in kept:
            text = cut_middle(cells[index].text, widths[index])
            filled = pad(text, widths[index], columns[index].left or index == 0)
            parts.append(self.paint(filled, cells[index].style))
        return _GAP.join(parts).rstrip()
