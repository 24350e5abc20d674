"""The wire path's side of a virtual user: its connection, what it sends, how far the answer has come."""

from collections.abc import Callable
from typing import Any

from perfcore.engine.address_choice import AddressChoice
from perfcore.engine.cookie_jar import CookieJar
from perfcore.engine.cycle import Cycle
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_connection import Connection
from perfcore.engine.wire_reader import AnswerReader, KnownAnswer
from perfcore.engine.wire_request import WireRequest, wire_request
from perfcore.engine.wire_template import WireTemplate

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})


class WireUser:
    """One user's state.

    `cycle` is set only while a whole request of a plain test is out and nothing of its answer has come: that is all
    that the fast path asks for.
    """

    __slots__ = (
        "addresses",
        "answers",
        "attempted",
        "attempts",
        "body_offset",
        "connected_to",
        "connection",
        "connections",
        "cookies",
        "cycle",
        "data",
        "delay",
        "due_ns",
        "exchange",
        "first_ns",
        "is_wary",
        "issued_ns",
        "jar",
        "keeps",
        "known",
        "left",
        "left_before",
        "location",
        "may_cycle",
        "prepared",
        "reader",
        "recv_into",
        "recv_stamped",
        "request",
        "resent",
        "rest",
        "send",
        "sends_head",
        "sent_bytes",
        "sent_ns",
        "stood_before",
        "template",
        "timeout_ns",
        "under_way",
        "unsent",
    )

    def __init__(self, exchange: Exchange, known: KnownAnswer) -> None:
        self.exchange = exchange
        self.known = known
        self.request: Request | None = None
        self.prepared: WireRequest | None = None
        self.data = b""  # head, and body where it is held in memory
        self.rest = b""  # of a plain row
        self.connection: Connection | None = None
        self.connected_to = ""  # scheme and authority of the URL for which it was made
        self.send: Callable[[Any], int] | None = None
        self.recv_into: Callable[[Any], int] | None = None
        self.recv_stamped: Callable[[Any], tuple[int, int]] | None = None
        self.jar: CookieJar | None = None
        self.cookies = b""  # the Cookie header within `data`
        self.addresses: AddressChoice | None = None
        self.cycle: Cycle | None = None
        self.may_cycle: Cycle | None = None
        self.is_wary = False  # the server closes unannounced: each connection is looked at before it is used
        self.template: WireTemplate | None = None  # where each request of a cycle is another one
        self.left = 0  # iterations after the one under way, in a cycle
        self.left_before = 0  # when the cycle was entered
        self.attempted = False  # something of the request has gone out on this connection
        self.sends_head = False  # requests of HEAD, whose answers have no body
        self.due_ns = self.issued_ns = 0
        self.timeout_ns = 0
        self.under_way = False
        self.keeps = True  # the next answer; the first is kept as a sample of a failure, should it be one
        self.reader: AnswerReader | None = None  # with what has come of the answer
        self.answers = 0  # on the connection
        self.location: str | None = None
        self.stood_before = False  # the connection was made before its first request
        self._begin_figures()

    def _begin_figures(self) -> None:
        self.attempts = self.connections = 0
        self.resent = False
        self.first_ns = 0  # the first byte of the answer
        self.sent_ns = 0  # the request began to go out
        self.sent_bytes = 0
        self.delay = 0  # of the last piece of the answer
        self.body_offset = 0  # of an Upload, sent so far
        self.unsent: memoryview | None = None

    def begin(self) -> None:
        """A new request of the user's begins."""
        self._begin_figures()
        self.under_way = True
        self.location = None

    def prepare(self, request: Request, cycle: Cycle | None) -> None:
        """Take this request as the one that is sent from now on."""
        prepared = request.prepared
        if prepared is None:
            prepared = request.prepared = wire_request(request)
        self.request = request
        self.prepared = prepared
        self.timeout_ns = round(request.settings.timeout_s * 1e9)
        goes_on = prepared.body is None and not request.settings.cookies and not self.is_wary
        self.may_cycle = cycle if goes_on else None
        self.cookies = b""
        self.data = prepared.whole(b"")
        self.sends_head = request.settings.method == "HEAD"

    def put_cookies(self, now_s: float) -> None:
        """Bring the Cookie header up to date."""
        prepared = self.prepared
        assert prepared is not None
        assert self.jar is not None
        cookies = self.jar.header(
            prepared.host,
            prepared.path,
            is_secure=prepared.is_secure,
            now_s=now_s,
            given=prepared.given_cookies or None,
        )
        if cookies != self.cookies:
            self.cookies = cookies
            self.data = prepared.whole(cookies)

    def take_connection(self, connection: Connection) -> None:
        self.connection = connection
        self.send = connection.send
        self.recv_into = connection.recv_into
        self.recv_stamped = connection.recv_stamped
        self.answers = 0

    def is_connected_to(self, url: str) -> bool:
        """Whether the connection, standing or being made, is one that a request of this URL may go on."""
        place = self.connected_to
        return url.startswith(place) and url[len(place) : len(place) + 1] in ("", "/", "?", "#")

    def drop_connection(self) -> Connection | None:
        """The connection that was the user's, if it had one."""
        connection, self.connection = self.connection, None
        self.send = self.recv_into = self.recv_stamped = None
        self.cycle = None
        return connection

    @property
    def may_send_again(self) -> bool:
        """Whether a request that met the end of a kept connection may go out on another.

        Once, and only what is idempotent.
        """
        request = self.request
        return (
            (self.answers > 0 or self.stood_before)
            and not self.resent
            and request is not None
            and request.settings.method in IDEMPOTENT
        )
