import io
import json

import pytest

from perfcore.report.reporters import REPORTERS
from perfcore.report.summary import summary_text

from .documents import suite_result


def written(name: str, stream) -> bytes:
    REPORTERS[name](suite_result(), stream)
    stream.flush()
    if isinstance(stream, io.StringIO):
        return stream.getvalue().encode()
    return getattr(stream, "buffer", stream).getvalue()


@pytest.mark.parametrize("name", REPORTERS)
def test_every_reporter_writes_the_same_to_text_and_to_bytes(name):
    to_bytes = written(name, io.BytesIO())
    assert to_bytes == written(name, io.StringIO())
    assert to_bytes == written(name, io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))


def test_json_is_utf_8_and_whole_even_on_an_ascii_stream():
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    assert json.loads(written("json", stream)) == suite_result().document


def test_the_summary_reporter_writes_the_summary_without_colour():
    assert written("summary", io.BytesIO()).decode() == summary_text(suite_result())


@pytest.mark.parametrize("name", REPORTERS)
def test_a_full_disk_is_the_callers_to_judge(name):
    with pytest.raises(OSError, match="No space left"), open("/dev/full", "wb", buffering=0) as full:
        REPORTERS[name](suite_result(), full)


class ShortWriter(io.RawIOBase):
    """A stream that takes three bytes at a time, as an unbuffered pipe may."""

    def __init__(self):
        self.taken = b""

    def writable(self):
        return True

    def write(self, data):
        self.taken += bytes(data[:3])
        return min(3, len(data))


def test_a_stream_that_takes_less_than_it_is_given_gets_everything():
    stream = ShortWriter()
    REPORTERS["json"](suite_result(), stream)
    assert json.loads(stream.taken) == suite_result().document
