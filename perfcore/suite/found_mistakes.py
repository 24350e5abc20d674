"""The mistakes that a load has found so far, each at its place in the file.

Only the first ones are ever told, so once there are many of them, what stands far below need not be looked at: from
then on there is a horizon, with MOST_FOUND mistakes before it. A mistake of the `defaults` that only a test beyond
the horizon brings out is told when the others are put right.
"""

from operator import itemgetter

from perfcore.suite.masker import Masker
from perfcore.suite.merging import Origins
from perfcore.suite.mistakes import MOST_TOLD, KeyPath, Mistake, more_mistakes, told
from perfcore.suite.yaml_document import Document, Place

# Ten times what is told; each costs some ten microseconds.
MOST_FOUND = 1_000


class FoundMistakes:
    """Key paths given here are those of the merged suite; `top` is the key of the file that it stands under."""

    def __init__(self, label: str, document: Document, origins: Origins, top: str) -> None:
        self._label = label
        self._document = document
        self._origins = origins
        self._top = top
        self._found: dict[tuple[Place, Mistake], None] = {}
        # Written key paths with a mistake already: nothing more is said about them or what is in them.
        self._spoiled: set[KeyPath] = set()
        self._horizon: Place | None = None
        self._has_ended_early = False
        for place, mistake in document.mistakes:
            path = mistake.path[1:]
            self._spoiled.add(path)
            self.add_at(place, Mistake(path, mistake.text))

    def __bool__(self) -> bool:
        return bool(self._found)

    def add(self, mistake: Mistake) -> None:
        """Keeps a mistake about merged data, told where it was written."""
        path = self._origins.of(mistake.path)
        if self._spoiled and any(path[:length] in self._spoiled for length in range(1, len(path) + 1)):
            return
        self.add_at(self._document.place_of((self._top, *path)), Mistake(path, mistake.text))

    def add_at(self, place: Place, mistake: Mistake) -> None:
        self._found[place, mistake] = None
        if self._horizon is None and len(self._found) >= 2 * MOST_FOUND:
            # Twice as many, because those that are found first need not stand first.
            self._horizon = self._in_order()[MOST_FOUND - 1][0]

    def spoil(self, path: KeyPath) -> None:
        """Says that what stands there has been told already, or cannot be looked at."""
        self._spoiled.add(self._origins.of(path))

    def is_beyond(self, path: KeyPath) -> bool:
        """Whether nothing that is found at this key path would be told."""
        if self._horizon is None:
            return False
        is_beyond = self._document.place_of((self._top, *self._origins.of(path))) > self._horizon
        self._has_ended_early |= is_beyond
        return is_beyond

    def lines(self, masker: Masker | None = None) -> list[str]:
        """Each mistake once, by place, without secrets; of very many the first ones, and how many more there are."""
        found = self._in_order()
        lines = []
        for place, (path, text) in found[:MOST_TOLD]:
            lines.append(line_of(self._label, place, Mistake(path, masker.text(text) if masker else text)))
        if len(found) > MOST_TOLD:
            bound = "at least " if self._has_ended_early else ""
            text = f"… and {bound}{more_mistakes(len(found) - MOST_TOLD)} from here on"
            lines.append(line_of(self._label, found[MOST_TOLD][0], Mistake((), text)))
        return list(dict.fromkeys(lines))

    def _in_order(self) -> list[tuple[Place, Mistake]]:
        return sorted(self._found, key=itemgetter(0))


def line_of(label: str, place: Place, mistake: Mistake) -> str:
    """`suite.yaml:14:7: tests[1].method: 'FETCH' is not one of …`"""
    return told(f"{label}:{place.line}:{place.column}", mistake)
