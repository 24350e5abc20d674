"""HttpClient: the Transport over libcurl transfers.

What is not obvious:

- Users are held in several CurlMulti ("shards") over one epoll, since libcurl's cost of one request grows with
  the handles in a CurlMulti.
- There is no timer callback: two to three Python calls a request are saved by asking each touched shard once a
  pass (`CurlMulti.timeout`) for when it wants to be called.
- libcurl sends a request again by itself when the kept connection turns out dead. It looks before it sends only
  on connections that were idle for a second; those that the server closes meanwhile are dropped here as soon as
  epoll tells of it, and once a server has been seen to do so, every kept connection is looked at before use.

libcurl's objects and their settings are in engine/curl_handle.py, the descriptors in engine/socket_watch.py.
"""

import time

import pycurl

from perfcore.engine.curl_errors import URL_MALFORMAT
from perfcore.engine.curl_handle import FAR_NS, TIMEOUT_SOCKET, Shard, User
from perfcore.engine.poller import READ, Poller
from perfcore.engine.preconnection import report_all
from perfcore.engine.receive_stamps import peek_stamp_on
from perfcore.engine.redirects import REDIRECTS, can_be_followed, next_request, sendable_place
from perfcore.engine.rehearsal import rehearse
from perfcore.engine.socket_watch import curl_events
from perfcore.engine.transfer_cycle import began_ns, record_plain
from perfcore.engine.transfer_users import TransferUsers
from perfcore.engine.transport import Exchange, Request
from perfcore.metrics.outcomes import CODE
from perfcore.metrics.samples import RESENT

# So many answers are read before they are collected and their users go on, all together: libcurl and the interpreter
# push each other out of the processor's caches, and a server that is woken once for many requests costs less. Not
# more, so that due starts are not kept waiting.
BATCH = 24
_clock_ns = time.monotonic_ns


class HttpClient(TransferUsers):
    """libcurl transfers on CurlMulti shards, one epoll over all of them. See engine/transport.py for the methods."""

    name = "transfer"

    def __init__(self, poller: Poller) -> None:
        super().__init__(poller)
        self._touched: list[Shard] = []
        self._unhandled: list[tuple[int, int]] = []  # events that the last pass had no time for
        self._stamps_ns: dict[int, int] = {}  # by descriptor: of the answers that are looked at in this pass
        self._came_ns: dict[int, int] = {}  # when the answers that this pass has still to collect were whole
        self._hops: list[tuple[Exchange, Request]] = []  # of redirects, for when a batch is collected
        self._early: list[Exchange] = []  # ended while they were started
        self._kept: list[Exchange] = []  # with an answer that will be handed back with them
        self._judged: list[Exchange] = []  # with one that was, in the last pass
        self._wake_ns = FAR_NS
        self._note_answer = self._figures.note_answer

    @property
    def in_flight(self) -> int:
        return sum(shard.active for shard in self._shards) + len(self._early)

    # -- one request ---------------------------------------------------------------------------------------

    def start(self, exchange: Exchange, request: Request) -> None:
        """Send `request` now; `exchange.issued_ns` is stamped right before libcurl gets it."""
        self._begin(exchange, request)
        if self._hops:
            self._start_hops()

    def _begin(self, exchange: Exchange, request: Request) -> None:
        user = exchange.transport_state
        if user is None:
            self._start_first(exchange, request)
            return
        if user.ready_for is not request:
            self._prepare(exchange, user, request)
        if self._is_wary and user.open_sockets:
            self._drop_if_dead(user)
        shard = user.shard
        user.active = True
        shard.active += 1
        exchange.issued_ns = _clock_ns()
        shard.add_handle(user.handle)
        # libcurl starts a transfer only when it is next called; one call for each, so that `issued` is right.
        shard.running = shard.act(TIMEOUT_SOCKET, 0)[1]
        if shard.running < shard.active:
            self._collect(shard, self._early)
        if not shard.touched:
            shard.touched = True
            self._touched.append(shard)

    def _start_first(self, exchange: Exchange, request: Request) -> None:
        user = self._open(exchange, request)
        stood = user.fd if user.stood_at is not None else -1
        self._begin(exchange, request)
        if stood >= 0:
            report_all(stood)

    def poll(self, timeout_s: float) -> list[Exchange]:
        """Exchanges that have ended, `done_ns` stamped after the last byte of each.

        Those of plain tests go on by themselves meanwhile (transport.Cycle); this then returns when the time is over.
        """
        if self._judged:
            self._forget_judged()
        completed, self._early = self._early, []
        until_ns = _clock_ns() + int(timeout_s * 1e9)
        while True:
            self._pass(until_ns, completed)
            if completed or _clock_ns() >= until_ns:
                break
        if self._kept:
            self._judged, self._kept = self._kept, []
        return completed

    def _pass(self, until_ns: int, completed: list[Exchange]) -> None:
        begin_ns = _clock_ns()
        self._stamping.adapt(begin_ns)
        timeout_s = self._until_libcurl_wants(begin_ns, (until_ns - begin_ns) / 1e9)
        events = self._unhandled or self._poller.wait(0 if completed else timeout_s)
        self._unhandled = []
        woke_ns = _clock_ns()
        self._act_on(events)
        for shard in self._touched:
            if shard.running < shard.active:
                self._collect(shard, completed)
        self._came_ns.clear()
        self._stamps_ns.clear()
        now_ns = _clock_ns()
        if now_ns - woke_ns > self.longest_pass_ns:
            self.longest_pass_ns = now_ns - woke_ns
        if now_ns >= self._wake_ns:
            self._serve_timers(completed)
        if self._hops:
            self._start_hops()
        if self._early:
            # The next hop of a redirect that ended while it was started: its answer is handed over with it, now.
            completed += self._early
            self._early = []

    def _start_hops(self) -> None:
        """Send what redirects point to; not in mid-collection, since a socket may get the number of one just closed."""
        while self._hops:
            hops, self._hops = self._hops, []
            for exchange, request in hops:
                self._begin(exchange, request)

    def _act_on(self, events: list[tuple[int, int]]) -> None:
        """Let libcurl read what has come, and note when; what has ended is collected afterwards, all together."""
        owners, wanted, came_ns = self._watch.owner, self._watch.wanted, self._came_ns
        self._stamping.begin_batch(len(events))
        takes_stamps = self._stamping.takes_batch
        for fd, ready in events:
            shard = owners[fd]
            if shard is None or not wanted[fd]:
                self._watch.unregister(fd)
                self._drop_idle(fd)
                continue
            if not shard.touched:
                shard.touched = True
                self._touched.append(shard)
            # Not where there is an error, too: to look would take it away. Nor at libcurl's own, such as a resolver's.
            if takes_stamps and ready == READ and fd in self._user_of:
                self._stamps_ns[fd] = peek_stamp_on(fd)
            running = shard.act(fd, 1 if ready == READ else curl_events(ready))[1]
            if running < shard.running:
                came_ns[fd] = _clock_ns()
                if len(came_ns) >= BATCH:
                    # For the next pass. Should one of them be out of date by then, libcurl finds nothing to read.
                    self._unhandled = events[events.index((fd, ready)) + 1 :]
                    shard.running = running
                    break
            shard.running = running

    def cut(self, exchange: Exchange) -> None:
        user = exchange.transport_state
        if user is not None and user.active:
            self._release(user)
            user.shard.running -= 1
        elif exchange in self._early:
            self._early.remove(exchange)

    def hand_back(self, exchange: Exchange) -> None:
        """Go on with this user no more by itself: `exchange.ends` says so."""

    def keep_next(self, exchange: Exchange) -> None:
        """Keep the user's next answer, body and headers, as a sample."""
        exchange.transport_state.keep_next()

    def location(self, exchange: Exchange) -> str | None:
        """The answer's Location as an absolute URL, as far as it can be read."""
        url = exchange.transport_state.handle.getinfo_raw(pycurl.REDIRECT_URL)
        return bytes(url).decode("utf-8", "backslashreplace") if url else None

    def recognised(self) -> dict[int, int]:
        """By test: answers that needed no parser; libcurl parses every one."""
        return {}

    def wants_s(self) -> float:
        """In how many seconds `poll` wants to be called at the latest, whatever happens until then."""
        if self._early or self._unhandled:
            return 0.0
        return self._until_libcurl_wants(_clock_ns(), FAR_NS / 1e9)

    def rehearse(self) -> None:
        rehearse(HttpClient(Poller()))

    def close(self) -> None:
        for user in self._users:
            if user.active:
                self._release(user)
            user.close_connections()
        for user in self._users:
            user.handle.close()
        self._preconnection.close()
        for shard in self._shards:
            shard.close()
        self._poller.close()
        self._users.clear()
        self._exchange_of.clear()
        self._user_of.clear()
        self._shards.clear()

    # -- when libcurl wants to be called --------------------------------------------------------------------

    def _until_libcurl_wants(self, now_ns: int, timeout_s: float) -> float:
        for shard in self._touched:
            shard.touched = False
            ms = shard.timeout()
            shard.deadline_ns = FAR_NS if ms < 0 else now_ns + ms * 1_000_000
            if shard.deadline_ns < self._wake_ns:
                self._wake_ns = shard.deadline_ns
        self._touched.clear()
        return max(0.0, min(timeout_s, (self._wake_ns - now_ns) / 1e9))

    def _serve_timers(self, completed: list[Exchange]) -> None:
        now_ns = _clock_ns()
        for shard in self._shards:
            if shard.deadline_ns <= now_ns:
                shard.deadline_ns = FAR_NS
                shard.running = shard.act(TIMEOUT_SOCKET, 0)[1]
                if not shard.touched:
                    shard.touched = True
                    self._touched.append(shard)
                if shard.running < shard.active:
                    self._collect(shard, completed)
        self._wake_ns = min((shard.deadline_ns for shard in self._shards), default=FAR_NS)

    # -- completions ------------------------------------------------------------------------------------------

    def _collect(self, shard: Shard, completed: list[Exchange]) -> None:
        """Take what has ended; users of plain tests go on, all of a batch together."""
        exchange_of, remove, add = self._exchange_of, shard.remove_handle, shard.add_handle
        came_ns, stamps_ns = self._came_ns, self._stamps_ns
        waiting = 1
        while waiting:
            waiting, succeeded, failed = shard.info_read()
            now_ns = _clock_ns()
            again: list[Exchange] = []
            for handle in succeeded:
                exchange = exchange_of[handle]
                user: User = exchange.transport_state
                done_ns = came_ns.pop(user.fd, now_ns)
                exchange.delay = self._delay(exchange, user, done_ns) if stamps_ns else 0
                # First: a connection that is not kept is closed by it, and that is looked at below.
                remove(handle)
                cycle = user.cycle
                if cycle is None or not user.plain or self._is_wary:
                    self._take_answer(exchange, user, done_ns, completed)
                elif record_plain(exchange, user, cycle, done_ns):
                    add(handle)
                    again.append(exchange)
                else:
                    exchange.issued_ns = began_ns(exchange, user, done_ns)
                    self._take_answer(exchange, user, done_ns, completed)
            for handle, curl_code, message in failed:
                exchange = exchange_of[handle]
                user = exchange.transport_state
                exchange.delay = 0
                remove(handle)
                self._take_failure(
                    exchange, user, came_ns.pop(user.fd, now_ns), curl_code, message, completed
                )
            if again:
                now_ns = _clock_ns()
                for exchange in again:
                    exchange.issued_ns = now_ns
                shard.running = shard.act(TIMEOUT_SOCKET, 0)[1]
                if shard.running < shard.active:
                    waiting, came_ns, stamps_ns = 1, {}, {}  # what has ended by now was not waited for

    def _delay(self, exchange: Exchange, user: User, done_ns: int) -> int:
        stamp_ns = self._stamps_ns.pop(user.fd, 0)
        return self._stamping.delay(stamp_ns, self._stamping.weight, exchange.issued_ns, done_ns)

    def _take_answer(self, exchange: Exchange, user: User, done_ns: int, completed: list[Exchange]) -> None:
        exchange.done_ns = done_ns
        user.active = False
        user.shard.active -= 1
        self._note_answer(exchange, user)
        if user.attempts is not None:
            if self._is_followed(exchange, user):
                return
            user.attempts.settle(exchange)
            self._is_wary |= bool(exchange.flags & RESENT)
        if user.keeps:
            self._hand_over_kept(exchange, user)
        completed.append(exchange)

    def _take_failure(
        self,
        exchange: Exchange,
        user: User,
        done_ns: int,
        curl_code: int,
        message: str,
        completed: list[Exchange],
    ) -> None:
        exchange.done_ns = done_ns
        user.active = False
        user.shard.active -= 1
        self._figures.note_failure(exchange, user, curl_code, message)
        if user.attempts is not None:
            if user.attempts.hops and curl_code == URL_MALFORMAT:
                exchange.error = CODE["bad_response"]  # what the server pointed to is no URL
            user.attempts.settle(exchange)
        if user.keeps:
            self._hand_over_kept(exchange, user)
        completed.append(exchange)

    def _is_followed(self, exchange: Exchange, user: User) -> bool:
        """Whether the answer pointed elsewhere and the request goes on there."""
        request, attempts = user.configured, user.attempts
        assert request is not None
        assert attempts is not None
        settings = request.settings
        if not settings.follow_redirects or exchange.status not in REDIRECTS or exchange.error:
            return False
        url = self.location(exchange)
        if url is None or not can_be_followed(url):
            return False
        place = sendable_place(url)
        if place is None:
            self._fail(exchange, "bad_response", f"{exchange.status} → {url}: that is no URL")
            return False
        if attempts.hops >= settings.max_redirects:
            told = f"{exchange.status} → {url} after {attempts.hops} redirects (max_redirects)"
            self._fail(exchange, "too_many_redirects", told)
            return False
        attempts.end_hop(exchange)
        if user.keeps:
            user.kept.take()
        left_s = settings.timeout_s - (exchange.done_ns - exchange.issued_ns) / 1e9
        self._hops.append((exchange, next_request(request, exchange.status, place, max(left_s, 0.001))))
        return True

    def _fail(self, exchange: Exchange, kind: str, text: str) -> None:
        """Make an answer that has come a failure of the transport's."""
        exchange.error, exchange.error_text, exchange.status = CODE[kind], text, 0

    def _hand_over_kept(self, exchange: Exchange, user: User) -> None:
        exchange.body, exchange.headers = user.kept.take()
        self._kept.append(exchange)
        user.keep_only_what_is_asked_for()

    def _forget_judged(self) -> None:
        # An answer that is not kept must not seem to be the one before it. Those of `_kept` have a new one already.
        for exchange in self._judged:
            if exchange not in self._kept:
                exchange.body = b""
                exchange.headers = {}
        self._judged.clear()

    def _release(self, user: User) -> None:
        shard = user.shard
        shard.remove_handle(user.handle)
        user.active = False
        shard.active -= 1
