"""WireClient: the Transport for HTTP/1.1 on connections that libcurl made.

What is not obvious:

- `poll` goes on by itself with users of plain tests (transport.Cycle): the loop around it would cost as much as the
  request. Everything else takes the general way (wire_exchanges), and the tests compare both.
- An answer that equals the last one in length and head is recognised (wire_reader.KnownAnswer) and not parsed.
"""

import time

from perfcore.engine.cycle import Cycle
from perfcore.engine.poller import WRITE, Poller
from perfcore.engine.redirects import REDIRECTS
from perfcore.engine.rehearsal import rehearse
from perfcore.engine.response_keeping import parse_headers
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_connection import BROKEN
from perfcore.engine.wire_exchanges import WireExchanges
from perfcore.engine.wire_plain_reader import PlainReader
from perfcore.engine.wire_reader import PARSER_ERRORS, KnownAnswer
from perfcore.engine.wire_template import WireTemplate
from perfcore.engine.wire_user import WireUser
from perfcore.metrics.samples import ROW_BYTES, SEQUENCE_MASK, pack_plain_row

_CHUNK_END = b"0\r\n\r\n"
_FIRST = ord("H")  # of an answer, and not of empty lines before it
_LINE_END = b"\r\n"
_INTERIM = ord("1")  # the first digit of the status
_UNKNOWN = KnownAnswer()
_NO_HEADERS: dict[str, str] = {}
_clock_ns = time.monotonic_ns


class WireClient(WireExchanges):
    """Users' requests on connections of their own, one epoll over all of them. See engine/transport.py."""

    name = "wire"

    # -- one request ------------------------------------------------------------------------------------------

    def start(self, exchange: Exchange, request: Request) -> None:
        """Send `request` now; `exchange.issued_ns` is stamped right before it goes out or a connection is asked for."""
        user: WireUser = exchange.transport_state or self._first(exchange, request)
        if user.request is not request:
            cycle = exchange.load.cycle if exchange.load is not None else None
            self._prepare(user, request, cycle)
        if user.jar is not None:
            if request.settings.fresh_cookies and exchange.earlier is None:
                user.jar.clear()
            user.put_cookies(time.time())
        user.begin()
        self._in_flight += 1
        user.due_ns = exchange.due_ns
        if user.may_cycle is not None:
            user.left = user.may_cycle.iterations - exchange.iteration
        if user.stood_before:
            user.connections = 1
        if user.connection is not None and user.connection.has_input():
            self._give_up(user)  # whatever it says was said before it was asked
        now_ns = exchange.issued_ns = user.issued_ns = _clock_ns()
        if user.connection is None:
            self._connect(user, now_ns)
        else:
            self._send(user, now_ns, self._early)
        if self._connector.ended:
            self._take_ended(self._early)

    def poll(self, timeout_s: float) -> list[Exchange]:
        """Exchanges that have ended, `done_ns` stamped after the last byte of each.

        Those of plain tests go on by themselves meanwhile (transport.Cycle); this then returns when the time is over.
        """
        if self._judged:
            self._forget_judged()
        completed, self._early = self._early, []
        connector = self._connector
        now_ns = _clock_ns()
        self._stamping.adapt(now_ns)
        until_ns = now_ns + int(timeout_s * 1e9)
        while True:
            connector.serve_timers(now_ns)
            if connector.ended:
                self._take_ended(completed)
            wake_ns = min(until_ns, self._wake_ns, connector.wake_ns)
            wait_s = 0.0 if completed or self._unread else (wake_ns - now_ns) / 1e9
            events = self._poller.wait(wait_s)
            woke_ns = _clock_ns()
            self._stamping.begin_batch(len(events))
            self._handle(events, completed)
            now_ns = _clock_ns()
            if now_ns - woke_ns > self.longest_pass_ns:
                self.longest_pass_ns = now_ns - woke_ns
            if connector.ended:
                self._take_ended(completed)
            if now_ns >= self._wake_ns:
                self._time_out(now_ns, completed)
            if self._unread:
                self._read_on(completed)
            if self._closing:
                self._close_given_up()
            if completed or now_ns >= until_ns:
                break
        if self._kept:
            self._judged, self._kept = self._kept, []
        return completed

    def _handle(self, events: list[tuple[int, int]], completed: list[Exchange]) -> None:
        """What has come on a batch of descriptors. The fast path: each line in it is paid for by every request."""
        users, view, clock, pack = self._user_of, self._view, _clock_ns, pack_plain_row
        begins_with, takes_stamps = self._buffer.startswith, self._stamping.takes_batch
        recorder = self._recorder
        offset, sequence, end = (0, 0, 0) if recorder is None else recorder.place
        rows = view if recorder is None else recorder.row_bytes
        for fd, ready in events:
            user = users[fd] if fd < len(users) else None
            if user is None:
                self._connector.serve(fd, ready)
                continue
            looks = takes_stamps or user.cycle is None
            try:  # a user in the table has a connection
                size, stamp_ns = user.recv_stamped(view) if looks else (user.recv_into(view), 0)  # type: ignore[misc]
            except BROKEN as error:
                self._receive_nothing(user, ready, error, completed)
                continue
            done_ns = clock()
            delay = self._note_delay(user, stamp_ns, done_ns) if stamp_ns else 0
            cycle = user.cycle
            if cycle is None:
                self._receive(user, size, done_ns, completed)
                continue
            known = user.known
            if size == known.size and begins_with(known.head):
                received, status, issued_ns = known.received_bytes, known.status, done_ns
                cycle.recognised += 1
            else:
                received = self._parse_plain(user, cycle, size, done_ns)
                if not received:
                    self._receive(user, size, done_ns, completed)
                    continue
                known, status, issued_ns = _UNKNOWN, self._plain_status, clock()
            may_go_on = user.left > 0 and done_ns < cycle.end_ns and cycle.accepted[status]
            if cycle.judge is not None:
                may_go_on = may_go_on and self._is_right(user, cycle, known, size, status, done_ns)
            if not may_go_on or (cycle.take is not None and not cycle.take()):
                self._end_cycle(user, size, received, status, done_ns, completed)
                continue
            broken, rest, due_ns, began_ns = None, user.rest, user.due_ns, user.issued_ns
            if user.template is not None:
                issued_ns = self._render_next(user, user.template, cycle, done_ns)
            try:
                sent = user.send(user.data)  # type: ignore[misc]
            except BROKEN as error:
                sent, broken = 0, error
            user.due_ns, user.issued_ns = done_ns, issued_ns
            user.left -= 1
            service_us = (done_ns - began_ns) // 1000
            pack(rows, offset, due_ns, began_ns, done_ns, delay, received, service_us, status, rest, sequence)
            offset += ROW_BYTES
            sequence = (sequence + 1) & SEQUENCE_MASK
            if offset == end:
                offset, end = recorder.go_on(offset, sequence)  # type: ignore[union-attr]  # cycles have one
            if sent != len(user.data):
                self._send_rest(user, sent, broken, completed)
        if recorder is not None:
            recorder.offset, recorder.sequence = offset, sequence

    def _note_delay(self, user: WireUser, stamp_ns: int, done_ns: int) -> int:
        """How long what was just read had waited; outside of a cycle every answer is looked at."""
        stamping = self._stamping
        weight = 1 if user.cycle is None else stamping.weight
        user.delay = delay = stamping.delay(stamp_ns, weight, user.issued_ns, done_ns)
        return delay

    def _receive_nothing(
        self, user: WireUser, ready: int, error: Exception, completed: list[Exchange]
    ) -> None:
        """There was nothing to read: it can be written, TLS spoke of itself, or the connection is broken."""
        if not isinstance(error, BlockingIOError):
            self._break(user, error, _clock_ns(), completed)
        elif ready & WRITE and user.unsent is not None:
            self._send_more(user, completed)

    def _parse_plain(self, user: WireUser, cycle: Cycle, size: int, now_ns: int) -> int:
        """Bytes of the answer if it is a whole one, alone, on a connection that goes on; 0 for any other, unparsed.

        Its status, and for the judge its head and body, are noted for the caller.
        """
        reader, buffer = self._plain_reader, self._buffer
        try:
            reader.feed(self._view[:size])
        except PARSER_ERRORS:
            self._plain_reader = PlainReader()
            return 0
        if reader.complete == 1 == len(reader.free) and reader.keeps_alive and not user.sends_head:
            received_bytes = size
            # llhttp skips line ends behind an answer, and chunks end with one; behind anything else nothing stands.
            if buffer[size - 1] in _LINE_END:
                received_bytes = self._size_of_one(size)
            status: int = reader.status_code()
            if received_bytes and buffer[0] == _FIRST and size < len(buffer) and status >= 100:
                self._plain_status = status
                if cycle.judge is not None or now_ns >= user.known.learn_ns:
                    self._note_plain(user, cycle, size, received_bytes, now_ns)
                reader.begin()
                return received_bytes
        self._plain_reader = PlainReader()
        return 0

    def _size_of_one(self, size: int) -> int:
        """Head and body of what the parser took for one answer; 0 where something else may stand behind them."""
        buffer, body = self._buffer, self._plain_reader.body
        head_bytes = buffer.find(b"\n\r\n", 0, size) + 3
        received_bytes = head_bytes + (len(body[0]) if len(body) == 1 else sum(map(len, body)))
        is_one = (
            (received_bytes == size or buffer.endswith(_CHUNK_END, 0, size))
            and buffer[9] != _INTERIM
            and head_bytes > 2
            and buffer.find(b"\n\n", 0, head_bytes) < 0
        )
        return received_bytes if is_one else 0

    def _note_plain(self, user: WireUser, cycle: Cycle, size: int, received_bytes: int, now_ns: int) -> None:
        """What the judge looks at; and from time to time the answer, to recognise it."""
        judges = cycle.judge is not None
        self._plain_body = body = b"".join(self._plain_reader.body)
        self._plain_head = head_bytes = received_bytes - len(body)
        if now_ns >= user.known.learn_ns:
            answer, status = self._view[:size].tobytes(), self._plain_status
            user.known.learn(answer, head_bytes, received_bytes, status, now_ns, head_alone=judges)

    def _render_next(self, user: WireUser, template: WireTemplate, cycle: Cycle, due_ns: int) -> int:
        """Returns when that was done."""
        exchange = user.exchange
        exchange.due_ns = due_ns
        exchange.iteration = cycle.iterations - user.left + 1
        data = template.render(exchange)
        if len(data) != len(user.data):
            user.rest = self._plain_rest(exchange, len(data))
        user.data = data
        return _clock_ns()

    def _is_right(
        self, user: WireUser, cycle: Cycle, known: KnownAnswer, size: int, status: int, done_ns: int
    ) -> bool:
        """Whether the plain answer in the buffer, known or just parsed, is as the test expects it."""
        headers = _NO_HEADERS
        if known is not _UNKNOWN:
            body = self._view[len(known.head) : size].tobytes()
            if cycle.needs_headers:
                headers = known.headers
        else:
            body = self._plain_body
            if cycle.needs_headers:
                headers = parse_headers(self._view[: self._plain_head].tobytes().splitlines()[1:])
        assert cycle.judge is not None
        return cycle.judge(status, headers, body, (done_ns - user.due_ns) / 1e9)

    def _end_cycle(
        self,
        user: WireUser,
        size: int,
        received_bytes: int,
        status: int,
        done_ns: int,
        completed: list[Exchange],
    ) -> None:
        """A whole answer after which the user does not go on by itself."""
        cycle = user.cycle
        judges = cycle is not None and cycle.judge is not None
        fails = cycle is not None and not cycle.accepted[status]
        if judges or fails or status in REDIRECTS:
            # For the loop to judge, as a sample, or to tell where it points to.
            if not user.keeps and (judges or fails):
                user.keeps = self._takes_sample(user)
            self._receive(user, size, done_ns, completed)
            return
        self._leave_cycle(user)
        user.first_ns = done_ns
        exchange = self._figures.fill(user, done_ns, received_bytes)
        exchange.status, exchange.error = status, 0
        self._hand_back(user, completed)

    # -- the rest of a Transport ------------------------------------------------------------------------------

    def cut(self, exchange: Exchange) -> None:
        user: WireUser | None = exchange.transport_state
        if user is not None and user.under_way:
            self._leave_cycle(user)
            self._put_reader_back(user, is_clean=False)
            self._give_up(user)
            self._close_given_up()
            user.under_way = False
            self._in_flight -= 1
        elif exchange in self._early:
            self._early.remove(exchange)

    def hand_back(self, exchange: Exchange) -> None:
        """Go on with this user no more by itself."""
        self._leave_cycle(exchange.transport_state)

    def keep_next(self, exchange: Exchange) -> None:
        """Keep the user's next answer, body and headers, as a sample."""
        exchange.transport_state.keeps = True

    def location(self, exchange: Exchange) -> str | None:
        """The answer's Location as an absolute URL, as far as it can be read."""
        place: str | None = exchange.transport_state.location
        return place

    def recognised(self) -> dict[int, int]:
        """By test: answers that were like the one before, and needed no parser."""
        return {case: cycle.recognised for case, cycle in self._cycles.items()}

    def wants_s(self) -> float:
        """In how many seconds `poll` wants to be called at the latest, whatever happens until then."""
        if self._early or self._unread or self._connector.has_news:
            return 0.0
        return max(0.0, (min(self._wake_ns, self._connector.wake_ns) - _clock_ns()) / 1e9)

    def rehearse(self) -> None:
        rehearse(WireClient(Poller()))

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the connections opened to it and the requests sent to it."""
        return self._figures.addresses()

    def http_versions(self) -> dict[int, dict[str, int]]:
        """By test: connections by the version of HTTP that was spoken on them."""
        return self._figures.http_versions()

    def emptied_jars(self) -> dict[int, int]:
        """By test: how often a jar of cookies was emptied, since a server had overfilled it."""
        return self._emptied_jars

    def close(self) -> None:
        for user in self._users:
            self._put_reader_back(user, is_clean=False)
            self._give_up(user)
        self._close_given_up()
        self._connector.shut()
        self._poller.close()
        self._users.clear()
        self._standing.clear()
