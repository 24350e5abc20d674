"""The users of the wire path: what each sends, its connection, its cookies, and when it may go on by itself.

epoll names descriptors, so a connection that is given up in mid-batch is closed after the batch: the next socket may
get its number.
"""

import time

from perfcore.engine.address_choice import AddressChoice, NameTable, is_address
from perfcore.engine.cookie_jar import CookieJar
from perfcore.engine.curl_handle import FAR_NS
from perfcore.engine.cycle import Cycle
from perfcore.engine.poller import Poller
from perfcore.engine.receive_stamps import Stamping
from perfcore.engine.redirects import origin
from perfcore.engine.scenario import Scenario
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_connection import Connection, Connector
from perfcore.engine.wire_figures import WireFigures
from perfcore.engine.wire_plain_reader import PlainReader
from perfcore.engine.wire_reader import AnswerReader, KnownAnswer
from perfcore.engine.wire_request import place_of
from perfcore.engine.wire_template import WireTemplate, wire_template
from perfcore.engine.wire_user import WireUser
from perfcore.metrics.samples import SampleWriter, plain_rest

BUFFER_BYTES = 65_536
# A row's phases are 32 bits of microseconds.
_LONGEST_CYCLE_S = 4000.0


class WireUsers:
    """What WireExchanges stands on: what happens when a user comes, connects, or sends another request than before."""

    def __init__(self, poller: Poller, buffer_bytes: int = BUFFER_BYTES) -> None:
        self._poller = poller
        self._connector = Connector(poller, self._forget, self._leave_cycle)
        self._user_of: list[WireUser | None] = []  # by descriptor
        self._users: list[WireUser] = []
        self._known: dict[tuple[int, int], KnownAnswer] = {}  # by test and step
        self._figures = WireFigures()
        self._buffer = bytearray(buffer_bytes)
        self._view = memoryview(self._buffer)
        self._reader = AnswerReader()  # whoever's answer does not come in one piece takes it along
        self._spare_readers: list[AnswerReader] = []
        self._recorder: SampleWriter | None = None
        self._cycles: dict[int, Cycle] = {}  # by test
        self._templates: dict[int, WireTemplate | None] = {}  # by test
        self._names = NameTable()
        self._stamping = Stamping()
        self.longest_pass_ns = 0
        self._in_flight = 0
        self._standing: dict[tuple[int, int], WireUser] = {}  # connected beforehand, by test and number
        self._plain_reader = PlainReader()
        # Of the answer that it has read last; the body only where it is judged.
        self._plain_status, self._plain_head, self._plain_body = 0, 0, b""
        self._early: list[Exchange] = []  # ended while they were started
        self._kept: list[Exchange] = []  # with an answer that will be handed back with them
        self._judged: list[Exchange] = []  # with one that was, in the last pass
        self._samples_of: dict[int, int] = {}  # by test: failures that were handed back with their answer
        self._closing: list[Connection] = []  # once no event of theirs can be waiting
        self._unread: list[WireUser] = []  # more than the buffer holds has been decrypted for them
        self._wake_ns = FAR_NS
        self._emptied_jars: dict[int, int] = {}

    @property
    def in_flight(self) -> int:
        return self._in_flight + len(self._early)

    def _first(self, exchange: Exchange, request: Request) -> WireUser:
        """The user of an exchange that has none as yet: one who is connected, or a new one."""
        user = self._standing.pop((exchange.case, exchange.user), None)
        if user is None:
            return self._open(exchange, request)
        user.exchange = exchange
        exchange.transport_state = user
        return user

    def _open(self, exchange: Exchange, request: Request) -> WireUser:
        known = self._known.setdefault((exchange.case, exchange.step), KnownAnswer())
        user = WireUser(exchange, known)
        if request.settings.dns_select != "first":
            user.addresses = AddressChoice(request.settings.dns_select, self._names, exchange.user)
        if request.settings.cookies:
            user.jar = CookieJar()
        exchange.transport_state = user
        self._users.append(user)
        return user

    def _prepare(self, user: WireUser, request: Request, cycle: Cycle | None) -> None:
        settings, exchange = request.settings, user.exchange
        if cycle is not None:
            self._recorder = cycle.recorder
            self._cycles[exchange.case] = cycle
            if settings.keepalive is False or settings.timeout_s > _LONGEST_CYCLE_S:
                cycle = None
            elif getattr(cycle.source, "constant", None) is None:
                user.template = self._template(exchange.case, cycle.source, request)
                if user.template is None:
                    cycle = None
        user.prepare(request, cycle)
        if user.connection is not None and not user.is_connected_to(request.url):
            self._give_up(user)  # a URL may be rendered to another server's
        user.rest = self._plain_rest(exchange, len(user.data))

    def _template(self, case: int, source: object, request: Request) -> WireTemplate | None:
        """What renders the requests of a test of which each is another one."""
        if case not in self._templates:
            self._templates[case] = wire_template(source, request) if isinstance(source, Scenario) else None
        return self._templates[case]

    @staticmethod
    def _plain_rest(exchange: Exchange, sent_bytes: int) -> bytes:
        return plain_rest(user=exchange.user, case=exchange.case, step=exchange.step, sent_bytes=sent_bytes)

    def _connect(self, user: WireUser, now_ns: int) -> None:
        request = user.request
        assert request is not None
        left_s = (user.issued_ns + user.timeout_ns - now_ns) / 1e9
        user.connected_to = place_of(request.url)
        user.connection = self._connector.connect(
            user, request, user.exchange.user, max(left_s, 0.001), self._chosen_address(user, request)
        )
        user.send = user.recv_into = user.recv_stamped = None

    def _chosen_address(self, user: WireUser, request: Request) -> tuple[str, str] | None:
        if user.addresses is None:
            return None
        _, host, port = origin(request.url)
        if port is None or host in request.settings.resolve or is_address(host):
            return None  # the suite has said where to
        address = user.addresses.pick(host, port)
        return None if address is None else (host, address)

    def _give_up(self, user: WireUser) -> None:
        """The user's connection is not used any more."""
        connection = user.drop_connection()
        if connection is not None:
            if connection.stands and connection.fd < len(self._user_of):
                self._user_of[connection.fd] = None
            self._closing.append(connection)

    def _close_given_up(self) -> None:
        closing, self._closing = self._closing, []
        for connection in closing:
            self._connector.close(connection)

    def _forget(self, fd: int) -> None:
        """A descriptor is about to be closed."""
        if fd < len(self._user_of):
            user, self._user_of[fd] = self._user_of[fd], None
            if user is not None and user.connection is not None and user.connection.fd == fd:
                user.connection.let_go()

    def _forget_judged(self) -> None:
        # An answer that is not kept must not seem to be the one before it. Those of `_kept` have a new one already.
        for exchange in self._judged:
            if exchange not in self._kept:
                exchange.body = b""
                exchange.headers = {}
        self._judged.clear()

    def _store_cookies(self, user: WireUser, reader: AnswerReader) -> None:
        lines = reader.values(b"set-cookie")
        jar, prepared = user.jar, user.prepared
        if lines and jar is not None and prepared is not None:
            jar.store(lines, prepared.host, prepared.path, is_secure=prepared.is_secure, now_s=time.time())
            if jar.is_full:
                jar.clear()
                case = user.exchange.case
                self._emptied_jars[case] = self._emptied_jars.get(case, 0) + 1

    def _enter_cycle(self, user: WireUser) -> None:
        # An answer that begins before its request is through is read by the general way to its end.
        if not (user.keeps or user.connections or user.attempts != 1) and user.reader is None:
            user.cycle = user.may_cycle
            user.left_before = user.left

    def _leave_cycle(self, user: WireUser) -> None:
        """The general way goes on: bring up to date what a cycle leaves alone."""
        cycle, exchange = user.cycle, user.exchange
        if cycle is None:
            return
        user.cycle = None
        if not self._stamping.takes_batch:
            user.delay = 0  # that of an answer in an earlier batch
        if user.left != user.left_before:
            self._figures.note_sent(user, user.left_before - user.left)
            exchange.iteration = cycle.iterations - user.left
            exchange.due_ns, exchange.issued_ns = user.due_ns, user.issued_ns
            user.sent_ns = user.issued_ns
            if user.template is not None:
                user.sent_bytes = len(user.data)
                exchange.request = user.request = user.template.request(user.data)
