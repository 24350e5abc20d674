"""A bench whose figures are lines over one quantity: how they are drawn, kept and told."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench import machine

# Where its points lie, across and up.
Line = tuple[Sequence[float], Sequence[float]]


def draw_lines(figure: Any, lines: Mapping[str, Line], across: str, up: str, style: str = "-") -> Any:
    """One line for each label, upwards from zero; gives the axes."""
    axes = figure.subplots()
    for label, (places, values) in lines.items():
        axes.plot(places, values, style, label=label)
    axes.set_xlabel(across)
    axes.set_ylabel(up)
    # Not before the lines are there, or it would stay as high as it is then.
    axes.set_ylim(bottom=0)
    axes.legend()
    return axes


def keep_with_plot(name: str, document: Mapping[str, Any], draw: Callable[[Any], None]) -> None:
    """Keeps the document and its plot, and prints where."""
    path = machine.keep(name, document)
    print(f"kept: {path} {machine.plot(name, draw) or ''}")
