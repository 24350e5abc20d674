"""What a text with `${choice(…)}` in it may become: one rendering for each of the choices.

Whoever looks for secrets has to see them all, also those that lie in variables of variables.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from perfcore.suite.template import Template, TemplateError

# More are data and no handful of tokens.
_MOST_CHOICES = 10_000


class _Turn(random.Random):
    """Chooses the n-th of everything, and notes how many there were at most."""

    def __init__(self) -> None:
        super().__init__(0)
        self.turn = 0
        self.most_choices = 0
        self.chosen: dict[str, None] = {}

    def choice(self, seq: Any) -> Any:
        self.most_choices = max(self.most_choices, len(seq))
        choice = seq[self.turn % len(seq)]
        if isinstance(choice, str):
            self.chosen[choice] = None
        return choice


@dataclass(slots=True)
class _AnyUser:
    """A RenderContext of nobody's."""

    random: random.Random
    user: int = 1
    iteration: int = 1
    variables: Mapping[str, object] = field(default_factory=dict)


def renderings(template: Template) -> Iterator[str]:
    """The text with each of its choices, the n-th of all of them at the same time; none without a choice."""
    yield from _renderings(template, _Turn())


def choices(template: Template) -> tuple[str, ...]:
    """The texts among the choices themselves, without what stands around them."""
    turn = _Turn()
    for _ in _renderings(template, turn):
        pass
    return tuple(turn.chosen)


def _renderings(template: Template, turn: _Turn) -> Iterator[str]:
    context = _AnyUser(turn)
    try:
        while turn.turn == 0 or turn.turn < min(turn.most_choices, _MOST_CHOICES):
            text = template.render(context)
            if turn.most_choices:
                yield text
            turn.turn += 1
    except TemplateError:
        return
