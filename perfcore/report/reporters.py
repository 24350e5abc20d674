"""The table of reporters: a name that `-o NAME` may give, and what writes that format.

Every one of them takes a text stream as well as a binary one. An error of the stream (OSError, a closed
file's ValueError) goes to the caller, who knows whether it matters: a full disk does, a reader that went
away does not.
"""

import io
from collections.abc import Callable
from typing import BinaryIO, TextIO

from perfcore.metrics.test_result import SuiteResult
from perfcore.report.json_report import result_json

Reporter = Callable[[SuiteResult, TextIO | BinaryIO], None]


def _json(result: SuiteResult, stream: TextIO | BinaryIO) -> None:
    _write(stream, result_json(result.document))


def _summary(result: SuiteResult, stream: TextIO | BinaryIO) -> None:
    from perfcore.report.summary import summary_text, write_summary  # with rich: not for those who want JSON

    if isinstance(stream, io.TextIOBase):
        write_summary(result, stream)
    else:
        _write(stream, summary_text(result).encode("utf-8", "backslashreplace"))


def _write(stream: TextIO | BinaryIO, data: bytes) -> None:
    if not isinstance(stream, io.TextIOBase):
        _write_all(stream, data)  # type: ignore[arg-type]  # every stream that is not text takes bytes
    elif isinstance(stream, io.TextIOWrapper):
        stream.flush()
        _write_all(stream.buffer, data)  # the same bytes whatever the encoding of the terminal
    else:
        stream.write(data.decode())
    stream.flush()


def _write_all(stream: BinaryIO, data: bytes) -> None:
    # With PYTHONUNBUFFERED the buffer is none: a write to a full pipe may take a part and say so.
    left = memoryview(data)
    while left:
        left = left[stream.write(left) or 0 :]


REPORTERS: dict[str, Reporter] = {
    "json": _json,
    "summary": _summary,
}
