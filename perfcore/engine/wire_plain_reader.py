"""Reading an answer that stands whole and alone in the buffer: by llhttp, with few calls into Python."""

import httptools

from perfcore.engine.wire_reader import LENIENCIES


class PlainReader:
    """One piece is fed, looked at, and forgotten by `begin`; a piece that was anything else needs another reader.

    `body` holds the parts of the body. Of `free` one entry is taken for each message that begins; a third one is an
    error of the parser's. Both lists are the parser's callbacks, which costs no frame.
    """

    __slots__ = (
        "_should_keep_alive",
        "body",
        "complete",
        "feed",
        "free",
        "keeps_alive",
        "on_body",
        "on_message_begin",
        "status_code",
    )

    def __init__(self) -> None:
        self.body: list[bytes] = []
        self.free = [None, None]
        self.complete = 0
        self.keeps_alive = False
        self.on_body = self.body.append
        self.on_message_begin = self.free.pop
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(**LENIENCIES)
        self.feed = parser.feed_data
        self.status_code = parser.get_status_code
        self._should_keep_alive = parser.should_keep_alive

    def on_message_complete(self) -> None:
        self.keeps_alive = self._should_keep_alive()  # llhttp forgets it right after
        self.complete += 1

    def begin(self) -> None:
        """What was fed was one answer, and the next one is to come."""
        self.body.clear()
        self.free.append(None)
        self.complete = 0
