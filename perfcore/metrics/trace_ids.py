"""Trace ids (W3C Trace Context) of a test's requests, computed from what a sample row has of each anyway.

A request's ids are a hash of its run, test, user and due instant: the worker that sends it needs no state, a row no
room, and the ids of the slowest requests are computed once more when the result is written.
"""

from hashlib import blake2b
from struct import Struct
from uuid import UUID

_TRACE_DIGITS, _PARENT_DIGITS = 32, 16
_USER_AND_DUE = Struct("<Iq")


class TraceIds:
    """Of the `case`-th test of the run `run_id`, which is random: no two runs share an id, whatever their seeds."""

    __slots__ = ("_begun",)

    def __init__(self, run_id: UUID, case: int) -> None:
        # The run as BLAKE2's salt and not as its key, which would be a second block: 0.35 µs an id and not 0.75.
        self._begun = blake2b(
            case.to_bytes(2, "little"), digest_size=(_TRACE_DIGITS + _PARENT_DIGITS) // 2, salt=run_id.bytes
        )

    def trace_id(self, user: int, due_ns: int) -> str:
        """32 lower-case hexadecimal digits."""
        return self._digits(user, due_ns)[:_TRACE_DIGITS]

    def header(self, user: int, due_ns: int) -> str:
        """The header's line: version 00, trace id, parent id, and 01 for "sampled", so that tracing keeps it.

        An id of zeroes alone is none: the parent's begins with a 1, and 128 bits of a hash are never all zero.
        """
        digits = self._digits(user, due_ns)
        return f"traceparent: 00-{digits[:_TRACE_DIGITS]}-1{digits[_TRACE_DIGITS + 1 :]}-01"

    def _digits(self, user: int, due_ns: int) -> str:
        hashed = self._begun.copy()
        hashed.update(_USER_AND_DUE.pack(user, due_ns))
        return hashed.hexdigest()
