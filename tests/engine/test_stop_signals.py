"""Of several signals the second leaves at once, and an echo of the first is none."""

import pytest

from perfcore.engine.stop_signals import ECHO_S, StopSignals


@pytest.mark.parametrize(
    ("instants_s", "turns"),
    [
        ([5.0], ["first"]),
        ([5.0, 5.0, 5.0 + ECHO_S * 0.99], ["first", "echo", "echo"]),
        ([5.0, 5.0 + ECHO_S * 1.01], ["first", "second"]),
        # Echoes put the second off no further: who presses on and on leaves.
        ([5.0, 5.15, 5.25], ["first", "echo", "second"]),
        ([0.0, 9.0, 9.0], ["first", "second", "second"]),
    ],
)
def test_only_what_comes_some_time_after_the_first_is_the_second(
    instants_s: list[float], turns: list[str]
) -> None:
    signals = StopSignals(clock=iter(instants_s).__next__)
    assert [signals.note() for _ in instants_s] == turns
