"""Keys of the documented format that this version cannot carry out, and what does something like it today.

They are refused by name instead of being ignored, so that a suite never measures something else than it says.
A later version that brings one of them takes it out of here.
"""

from collections.abc import Mapping

_THRESHOLDS = "look at results.json after the run, or count slow answers as failed with expect: {max_time: …}"
_STEPS = "write each request as a test of its own"
_ONCE = "do it before perfcore is started, and hand on what it brings with --var NAME=VALUE"

IN_SUITE: Mapping[str, str] = {
    "hooks": "",
    "setup": _ONCE,
    "teardown": "do it after perfcore has ended",
    "thresholds": _THRESHOLDS,
}

IN_TEST: Mapping[str, str] = {
    "data": "a body is json:, form: or body:; what differs is ${randint(1, 9)}, ${choice(a, b)} or ${user()}",
    "extract": _ONCE,
    "on_failure": _STEPS,
    "probability": _STEPS,
    "steps": _STEPS,
    "thresholds": _THRESHOLDS,
}

AUTH_TYPES = frozenset({"oauth2"})
