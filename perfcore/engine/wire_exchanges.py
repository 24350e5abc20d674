"""The general way of a request on the wire path: connecting, sending, reading, and what it came to.

A connection goes back to its user only after exactly one whole answer and nothing behind it; one that has something to
say while nothing is asked is closed.
"""

import time
from collections.abc import Iterable
from itertools import islice
from urllib.parse import urljoin

from perfcore.engine.curl_errors import SHORT_FILE_TEXT, broken_off_code
from perfcore.engine.curl_handle import FAR_NS
from perfcore.engine.poller import READ, WRITE
from perfcore.engine.redirects import REDIRECTS
from perfcore.engine.response_keeping import BODY_LIMIT
from perfcore.engine.transport import Exchange, Request
from perfcore.engine.wire_connection import BROKEN, Connection
from perfcore.engine.wire_reader import AnswerReader, BadAnswerError
from perfcore.engine.wire_user import WireUser
from perfcore.engine.wire_users import WireUsers
from perfcore.metrics.outcomes import CODE

# An Upload is read and sent in pieces, and after so many of them others get their turn.
_PIECE_BYTES = 262_144
_PIECES_AT_A_TIME = 8
# So many handshakes at a time: a listener's queue is short.
_CONNECTED_AT_ONCE = 128
_LONGEST_WAIT_S = 0.1
# To hand a failure back with its answer takes 2 µs, and of each kind a few are looked at.
SAMPLES_A_TEST = 1000
_BAD_ANSWER, _CLOSED, _TRUNCATED = CODE["bad_response"], CODE["closed"], CODE["truncated"]
_clock_ns = time.monotonic_ns


class WireExchanges(WireUsers):
    """What WireClient stands on: all that is not the fast path."""

    # -- sending ----------------------------------------------------------------------------------------------

    def _send(self, user: WireUser, now_ns: int, completed: list[Exchange]) -> None:
        """Send the request on the connection that stands."""
        user.sent_ns = now_ns
        deadline_ns = user.issued_ns + user.timeout_ns
        if deadline_ns < self._wake_ns:
            self._wake_ns = deadline_ns
        user.unsent = memoryview(user.data)
        user.attempted = False
        self._send_more(user, completed)

    def _send_rest(
        self, user: WireUser, sent: int, broken: Exception | None, completed: list[Exchange]
    ) -> None:
        """Of the next request of a cycle only so much could be sent."""
        self._leave_cycle(user)
        user.sent_bytes = sent
        user.unsent = memoryview(user.data)[sent:]
        user.attempted = sent > 0
        if not sent:
            user.attempts = 0
            self._figures.note_sent(user, -1)
        if broken is None or isinstance(broken, BlockingIOError):
            self._send_more(user, completed)
        else:
            self._break(user, broken, _clock_ns(), completed)

    def _send_more(self, user: WireUser, completed: list[Exchange]) -> None:
        """Send what the connection takes of what is left."""
        send, prepared, left = user.send, user.prepared, user.unsent
        assert send is not None
        assert prepared is not None
        body = prepared.body
        for _ in range(_PIECES_AT_A_TIME):
            if not left:
                if body is None or user.body_offset >= len(body):
                    break
                part = body.read_at(user.body_offset, _PIECE_BYTES)
                if not part:
                    self._fail(
                        user,
                        _clock_ns(),
                        _BAD_ANSWER if user.first_ns else _CLOSED,
                        SHORT_FILE_TEXT,
                        completed,
                    )
                    return
                user.body_offset += len(part)
                left = memoryview(part)
            try:
                sent = send(left)
            except BlockingIOError:
                break
            except BROKEN as error:
                user.unsent = left
                self._take_what_came(user, completed)
                if user.under_way:
                    self._break(user, error, _clock_ns(), completed)
                return
            if not user.attempted:
                user.attempted = True
                user.attempts += 1
                self._figures.note_sent(user)
            user.sent_bytes += sent
            left = left[sent:]
        is_through = not left and (body is None or user.body_offset >= len(body))
        user.unsent = None if is_through else left
        self._watch_for_room(user, not is_through)
        if is_through and user.may_cycle is not None:
            self._enter_cycle(user)

    def _take_what_came(self, user: WireUser, completed: list[Exchange]) -> None:
        """The server takes no more of the request: it may have said why before it closed."""
        while user.under_way and user.recv_into is not None:
            try:
                size = user.recv_into(self._view)
            except BROKEN:
                return
            if not size:
                return
            self._receive(user, size, _clock_ns(), completed)

    def _watch_for_room(self, user: WireUser, is_wanted: bool) -> None:
        connection = user.connection
        if connection is not None and connection.awaits_room is not is_wanted:
            connection.awaits_room = is_wanted
            self._poller.modify(connection.fd, READ | WRITE if is_wanted else READ)

    # -- receiving --------------------------------------------------------------------------------------------

    def _receive(self, user: WireUser, size: int, now_ns: int, completed: list[Exchange]) -> None:
        """`size` bytes of the user's connection stand in the buffer; none is its end."""
        self._leave_cycle(user)
        if not user.under_way:
            self._give_up(user)
            return
        if not size:
            self._take_end(user, now_ns, completed)
            return
        piece = self._view[:size]
        if user.reader is None:
            self._begin_answer(user, now_ns)
        reader = user.reader
        assert reader is not None
        reader.raw_bytes += size
        try:
            if not user.sends_head:
                reader.parse(piece)
            reader.follow(piece)
            if user.sends_head and reader.is_whole_head:
                reader.take_head_alone()
        except BadAnswerError as error:
            self._fail(user, now_ns, _BAD_ANSWER, str(error), completed)
            return
        if reader.complete:
            if reader.raw_bytes == size and now_ns >= user.known.learn_ns and user.may_cycle is not None:
                self._learn(user, reader, bytes(piece), now_ns)
            self._complete(user, now_ns, completed)
        elif user.connection is not None and user.connection.has_ended:
            self._take_end(user, now_ns, completed)
        elif user.connection is not None and user.connection.is_tls:
            self._unread.append(user)

    def _read_on(self, completed: list[Exchange]) -> None:
        """One more piece for each whose answer is not whole: what OpenSSL has taken from the socket wakes nobody."""
        users, self._unread = self._unread, []
        for user in users:
            if not user.under_way or user.recv_into is None:
                continue
            try:
                size = user.recv_into(self._view)
            except BlockingIOError:
                continue
            except BROKEN as error:
                self._break(user, error, _clock_ns(), completed)
                continue
            self._receive(user, size, _clock_ns(), completed)

    def _begin_answer(self, user: WireUser, now_ns: int) -> None:
        user.first_ns = now_ns
        reader = user.reader = self._reader
        self._reader = self._spare_readers.pop() if self._spare_readers else AnswerReader()
        settings = user.request.settings if user.request is not None else None
        if settings is not None and (user.keeps or settings.keep_body or self._samples_left(user)):
            reader.kept_body = []
            if settings.keep_body:
                reader.body_limit = BODY_LIMIT

    def _learn(self, user: WireUser, reader: AnswerReader, answer: bytes, now_ns: int) -> None:
        goes_on = reader.keeps_alive and not reader.is_followed(has_body=not user.sends_head)
        if goes_on and len(answer) < len(self._buffer):  # else nobody knows what stands behind it
            judges = user.may_cycle is not None and user.may_cycle.judge is not None
            user.known.learn(
                answer, reader.head_bytes, reader.received_bytes, reader.status, now_ns, head_alone=judges
            )

    def _take_end(self, user: WireUser, now_ns: int, completed: list[Exchange]) -> None:
        """The server has closed the connection."""
        reader = user.reader
        if reader is None:
            self._note_unannounced_end(user)
            if user.may_send_again:
                self._send_again(user, now_ns)
            else:
                self._fail(
                    user, now_ns, _CLOSED, "the server closed the connection without an answer", completed
                )
        elif reader.ends_with_connection and not user.sends_head:
            reader.take_end()
            self._complete(user, now_ns, completed)
        else:
            text = f"the server closed the connection within the {reader.part} of its answer"
            # To libcurl an answer begins with a whole line.
            code = _CLOSED if reader.part == "first line" else _TRUNCATED
            self._fail(user, now_ns, code, text, completed)

    def _complete(self, user: WireUser, now_ns: int, completed: list[Exchange]) -> None:
        """A whole answer has come."""
        reader, request, connection = user.reader, user.request, user.connection
        assert reader is not None
        assert request is not None
        assert connection is not None
        settings = request.settings
        exchange = self._figures.fill(user, now_ns, reader.received_bytes)
        exchange.status, exchange.error = reader.status, 0
        self._note_version(user, reader)
        user.answers += 1
        if reader.status in REDIRECTS:
            place = reader.headers().get("location")
            user.location = _absolute(request.url, place) if place else None
        if user.jar is not None:
            self._store_cookies(user, reader)
        load = exchange.load
        if not user.keeps and load is not None:
            # Of a test that looks at more than the status only the loop knows whether it is a failure.
            user.keeps = load.judges_more or (not load.accepted[reader.status] and self._takes_sample(user))
        if user.keeps or settings.keep_body or settings.keep_headers:
            self._keep(user, reader)
        is_followed = reader.is_followed(has_body=not user.sends_head)
        goes_on = reader.keeps_alive and not is_followed and user.unsent is None and settings.keepalive
        self._put_reader_back(user, is_clean=reader.keeps_alive and not is_followed)
        if not goes_on or connection.has_ended:
            self._give_up(user)
        self._hand_back(user, completed)

    def _samples_left(self, user: WireUser) -> int:
        """Of so many more failures of the user's test the whole answer is handed back."""
        return SAMPLES_A_TEST - self._samples_of.get(user.exchange.case, 0)

    def _takes_sample(self, user: WireUser) -> bool:
        left, case = self._samples_left(user), user.exchange.case
        if left:
            self._samples_of[case] = self._samples_of.get(case, 0) + 1
        return left > 0

    def _note_version(self, user: WireUser, reader: AnswerReader) -> None:
        if not user.answers and (version := reader.version()):
            self._figures.note_first_answer(user, version)

    def _keep(self, user: WireUser, reader: AnswerReader) -> None:
        exchange, request = user.exchange, user.request
        assert request is not None
        settings = request.settings
        if user.keeps or settings.keep_headers:
            exchange.headers = reader.headers()
        if user.keeps or settings.keep_body:
            # What was not asked for compressed is looked at as it came.
            exchange.body = reader.body() if settings.compressed else reader.take_body()
        user.keeps = False
        self._kept.append(exchange)

    def _put_reader_back(self, user: WireUser, *, is_clean: bool) -> None:
        reader, user.reader = user.reader, None
        if reader is not None:
            if is_clean:
                reader.begin()
            else:
                reader.renew()
            self._spare_readers.append(reader)

    # -- ends that are no answer ------------------------------------------------------------------------------

    def _break(self, user: WireUser, error: Exception, now_ns: int, completed: list[Exchange]) -> None:
        """Reading or writing has failed."""
        self._leave_cycle(user)
        if not user.under_way:
            self._give_up(user)
            return
        if user.reader is None:
            self._note_unannounced_end(user)
            if user.may_send_again:
                self._send_again(user, now_ns)
                return
        code, text = broken_off_code(error, answer_began=user.reader is not None)
        self._fail(user, now_ns, code, text, completed)

    @staticmethod
    def _note_unannounced_end(user: WireUser) -> None:
        """A kept connection has ended under a request: from now on each is looked at before it is used."""
        if user.answers:
            user.is_wary = True
            user.may_cycle = None

    def _send_again(self, user: WireUser, now_ns: int) -> None:
        """The kept connection was dead: once more, on a new one."""
        self._give_up(user)
        user.resent = True
        user.body_offset = 0
        self._connect(user, now_ns)

    def _fail(self, user: WireUser, now_ns: int, code: int, text: str, completed: list[Exchange]) -> None:
        self._leave_cycle(user)
        reader, user.delay = user.reader, 0
        exchange = self._figures.fill(user, now_ns, 0 if reader is None else reader.received_bytes)
        exchange.status, exchange.error, exchange.error_text = 0, code, text
        if reader is not None:
            self._note_version(user, reader)
            if user.keeps:
                self._keep(user, reader)
        self._put_reader_back(user, is_clean=False)
        self._give_up(user)
        self._hand_back(user, completed)

    def _hand_back(self, user: WireUser, completed: list[Exchange]) -> None:
        user.under_way = False
        self._in_flight -= 1
        completed.append(user.exchange)

    def _time_out(self, now_ns: int, completed: list[Exchange]) -> None:
        """End what has taken too long; find out when to look again."""
        self._wake_ns = FAR_NS
        for user in self._users:
            if user.under_way and user.connection is not None and user.connection.stands:
                deadline_ns = user.issued_ns + user.timeout_ns
                if deadline_ns <= now_ns:
                    received = 0 if user.reader is None else user.reader.raw_bytes
                    waited_ms = (now_ns - user.issued_ns) // 1_000_000
                    text = (
                        f"Operation timed out after {waited_ms} milliseconds with {received} bytes received"
                    )
                    self._fail(user, now_ns, CODE["timeout"], text, completed)
                elif deadline_ns < self._wake_ns:
                    self._wake_ns = deadline_ns

    # -- connecting -------------------------------------------------------------------------------------------

    def preconnect(self, case: int, requests: Iterable[tuple[int, Request]], timeout_s: float) -> None:
        """Have a connection stand, TLS included, for each of these users of a test, for its first request to take.

        `requests` are the users' numbers with what they are going to send. To be called while nothing is under way.
        """
        deadline = time.monotonic() + timeout_s
        coming = iter(requests)
        waited_for: list[WireUser] = []
        while (left_s := deadline - time.monotonic()) > 0:
            begun = list(islice(coming, _CONNECTED_AT_ONCE - len(waited_for)))
            waited_for += [self._connect_beforehand(case, *one, left_s) for one in begun]
            self._take_ended(self._early)
            waited_for = [user for user in waited_for if user.connection and not user.connection.stands]
            if waited_for:
                self._pass(min(left_s, _LONGEST_WAIT_S))
            elif not begun:
                break
        for user in waited_for:
            self._give_up(user)

    def _connect_beforehand(self, case: int, number: int, request: Request, left_s: float) -> WireUser:
        user = self._open(Exchange(number, case, None), request)
        user.request = request
        user.issued_ns = _clock_ns()
        user.timeout_ns = round(left_s * 1e9)
        self._standing[case, number] = user
        self._connect(user, user.issued_ns)
        user.request = None  # what it will send has still to be prepared
        return user

    def _take_ended(self, completed: list[Exchange]) -> None:
        """Connections that stand now, or could not be made; before their descriptors are waited for.

        A unix socket stands at once, with the server's first words in it.
        """
        while self._connector.ended:
            ended, self._connector.ended = self._connector.ended, []
            for connection in ended:
                if connection.owner.connection is connection:  # not given up meanwhile
                    self._take_one(connection.owner, connection, completed)

    def _take_one(self, user: WireUser, connection: Connection, completed: list[Exchange]) -> None:
        if connection.error:
            user.drop_connection()
            if user.under_way:
                self._fail(user, _clock_ns(), connection.error, connection.error_text, completed)
            return
        if connection.fd >= len(self._user_of):
            self._user_of.extend([None] * (connection.fd + 256 - len(self._user_of)))
        self._user_of[connection.fd] = user
        user.take_connection(connection)
        self._figures.note_connection(user)
        user.stood_before = not user.under_way
        if user.under_way:
            user.connections += 1
            self._send(user, _clock_ns(), completed)

    def _pass(self, timeout_s: float) -> None:
        """Wait for connections that are being made; one that stands already may speak of TLS, or end."""
        for fd, ready in self._poller.wait(min(timeout_s, (self._connector.wake_ns - _clock_ns()) / 1e9)):
            user = self._user_of[fd] if fd < len(self._user_of) else None
            if user is None:
                self._connector.serve(fd, ready)
            elif user.connection is not None and user.connection.has_input():
                self._give_up(user)
        self._connector.serve_timers(_clock_ns())
        self._take_ended(self._early)
        self._close_given_up()


def _absolute(url: str, place: str) -> str:
    """Where a Location points to, or its own words where that is no URL."""
    try:
        return urljoin(url, place)
    except ValueError:
        return place
