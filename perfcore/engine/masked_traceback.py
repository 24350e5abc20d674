"""A bug keeps its traceback, and the traceback shows no secret: messages of exceptions quote what they were given.

A worker knows what is secret. The command finds it in the suite, which is among the local variables of the functions
that the exception went through, however early or late that was.
"""

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from types import TracebackType

from perfcore.suite.command_words import given_values
from perfcore.suite.masker import Masker, suite_secrets
from perfcore.suite.secret_values import scope_secrets
from perfcore.suite.template import Scope
from perfcore.suite.test_suite import TestSuite

# More is masked than is kept, so that no secret loses its beginning before it is looked for.
_MASKED_FOR_EACH_KEPT = 4
_LONGEST = 1_000_000


def masked_traceback(error: BaseException, masker: Masker, longest: int = _LONGEST) -> str:
    """The traceback without secrets, of a very long one the end."""
    text = "".join(traceback.format_exception(error))
    if len(text) > _MASKED_FOR_EACH_KEPT * longest:
        text = text[-_MASKED_FOR_EACH_KEPT * longest :].partition("\n")[2]
    return masker.text(text)[-longest:]


def mask_tracebacks_of_callbacks(masker: Masker) -> None:
    """For a worker's process: also what libcurl's callbacks and finalisers raise goes to stderr without secrets."""

    def on_exception(_kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        _write(masked_traceback(error, masker))

    def on_unraisable(unraisable: "sys.UnraisableHookArgs") -> None:
        if unraisable.exc_value is not None:
            _write(masked_traceback(unraisable.exc_value, masker))

    sys.excepthook = on_exception
    sys.unraisablehook = on_unraisable


def tell_bug(error: BaseException, arguments: Sequence[str]) -> None:
    """Write the traceback of a bug that ends the command; `arguments` are those of its command line."""
    try:
        masker = Masker(
            (*given_values(arguments, os.environ.get("PERFCORE_VAR", "")), *_secrets_in_sight(error))
        )
        text = masked_traceback(error, masker)
    except Exception:  # noqa: BLE001 - the bug may be in the masker; then the message is left out
        text = "".join((*traceback.format_tb(error.__traceback__), f"{type(error).__name__}\n"))
    _write(text)


def _secrets_in_sight(error: BaseException | None) -> Iterator[str]:
    """The secrets of every suite that the exception's functions, and those of its causes, had in their hands."""
    seen = set[int]()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame, _ in traceback.walk_tb(error.__traceback__):
            for value in frame.f_locals.values():
                if id(value) in seen:
                    continue
                if isinstance(value, TestSuite):
                    seen.add(id(value))
                    yield from suite_secrets(value)
                elif isinstance(value, Scope):
                    seen.add(id(value))
                    yield from scope_secrets((*value.variables, *value.given), value)
        error = error.__cause__ or error.__context__


def _write(text: str) -> None:
    if sys.stderr is not None:
        sys.stderr.write(text)
