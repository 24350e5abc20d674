"""The users of libcurl transfers: their handles, addresses and sockets.

What HttpClient stands on: all that happens when a user comes, when its request changes and when a socket is opened or
closed, but nothing that happens for each request.
"""

import os
from collections.abc import Callable, Iterable
from functools import partial

import pycurl

from perfcore.engine.address_choice import AddressChoice, NameTable, is_address
from perfcore.engine.attempts import Attempts, must_be_counted
from perfcore.engine.curl_handle import Shard, User, default_ca_file
from perfcore.engine.curl_options import set_addresses
from perfcore.engine.poller import Poller, is_readable
from perfcore.engine.preconnection import Preconnection, can_be_used
from perfcore.engine.receive_stamps import Stamping, ask_for_stamps_on
from perfcore.engine.redirects import origin
from perfcore.engine.socket_watch import SocketWatch
from perfcore.engine.transfer_cycle import cycle_for
from perfcore.engine.transfer_figures import TransferFigures, address_name
from perfcore.engine.transport import Exchange, Request

# A request costs more the more users a CurlMulti has, and a pass the more of them there are: a few users stay together.
USERS_PER_SHARD = 40
_USERS_OF_FIRST = 64


class TransferUsers:
    """Users on CurlMulti shards. Public methods are those of a Transport (engine/transport.py)."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self._watch: SocketWatch[Shard] = SocketWatch(poller)
        self._shards: list[Shard] = []
        self._users: list[User] = []
        self._exchange_of: dict[pycurl.Curl, Exchange] = {}
        self._user_of: dict[int, User] = {}  # by descriptor
        self._figures = TransferFigures(self._become_wary)
        self._names = NameTable()
        self._stamping = Stamping()
        self.longest_pass_ns = 0
        self._ca_file = default_ca_file()
        self._preconnection = Preconnection(poller, self._watch, self._ca_file)
        self._emptied_jars: dict[int, int] = {}
        self._multiplexing = pycurl.PIPE_MULTIPLEX
        self._is_wary = False  # the server closes connections without saying so: look before each request

    def preconnect(self, case: int, requests: Iterable[tuple[int, Request]], timeout_s: float) -> None:
        """Have a connection stand, TLS included, for each of these users of a test, for its first request to take.

        `requests` are the users' numbers with what they are going to send. To be called while nothing is under way.
        """
        # With multiplexing libcurl takes no plain connection that has carried nothing yet. A user has one request
        # under way and needs none; but a request without it takes 2 % more instructions.
        self._multiplexing = pycurl.PIPE_NOTHING
        users = (
            ((case, number), self._user_to_connect(number, request), request) for number, request in requests
        )
        self._preconnection.connect(users, timeout_s)

    def addresses(self) -> dict[int, dict[str, dict[str, int]]]:
        """By test and address: the connections opened to it and the requests sent to it."""
        return self._figures.addresses()

    def http_versions(self) -> dict[int, dict[str, int]]:
        """By test: connections by the version of HTTP that was spoken on them."""
        return self._figures.http_versions()

    def emptied_jars(self) -> dict[int, int]:
        """By test: how often a jar of cookies was emptied, since a server had overfilled it."""
        return self._emptied_jars

    def _open(self, exchange: Exchange, request: Request) -> User:
        user = self._preconnection.take((exchange.case, exchange.user))
        if user is None:
            user = self._new_user(exchange.user, request)
        elif user.open_sockets and not can_be_used(user):
            self._drop(user, user.fd)
        if must_be_counted(request):
            user.attempts = Attempts(request.settings, user.kept, partial(self._note_sent_to, exchange))
            user.takes_more = True
        self._users.append(user)
        self._exchange_of[user.handle] = exchange
        exchange.transport_state = user
        return user

    def _new_user(self, number: int, request: Request) -> User:
        shard = self._shards[-1] if self._shards else self._new_shard()
        if not self._has_room(shard):
            # Users who could not connect beforehand have left room in others.
            shard = next(filter(self._has_room, self._shards), None) or self._new_shard()
        shard.users += 1
        user = User(shard, number, self._callbacks)
        select = request.settings.dns_select
        if select != "first":
            user.addresses = AddressChoice(select, self._names, number)
            user.takes_more = True
        return user

    def _has_room(self, shard: Shard) -> bool:
        return shard.users < (_USERS_OF_FIRST if shard is self._shards[0] else USERS_PER_SHARD)

    def _user_to_connect(self, number: int, request: Request) -> User:
        user = self._new_user(number, request)
        if user.addresses is not None:
            self._choose_address(user, request)
        return user

    def _callbacks(self, user: User) -> Iterable[tuple[int, Callable[..., object]]]:
        yield pycurl.SOCKOPTFUNCTION, partial(self._note_opened, user)
        yield pycurl.CLOSESOCKETFUNCTION, self._close_socket

    def _note_sent_to(self, exchange: Exchange, address: str) -> None:
        name = address_name(exchange.transport_state, address)
        self._figures.address(exchange.case, name).requests += 1

    def _prepare(self, exchange: Exchange, user: User, request: Request) -> None:
        """Make the user send this request; what only some users need before each request."""
        if user.configured is not request:
            user.configure(request, self._ca_file)
        if not user.takes_more:
            user.ready_for = request
        user.cycle = cycle_for(exchange, request, user)
        if user.attempts is not None:
            user.attempts.begin()
            user.rewind()
        if request.settings.fresh_cookies and exchange.earlier is None:
            user.handle.setopt(pycurl.COOKIELIST, "ALL")
        elif request.settings.cookies and user.empty_full_jar():
            self._emptied_jars[exchange.case] = self._emptied_jars.get(exchange.case, 0) + 1
        if user.addresses is not None:
            self._choose_address(user, request)

    def _choose_address(self, user: User, request: Request) -> None:
        assert user.addresses is not None
        _, host, port = origin(request.url)
        if host in request.settings.resolve or is_address(host):
            return  # the suite has said where to
        if user.attempts is not None and user.attempts.hops:
            return  # somebody else's names are looked up by libcurl, and not remembered
        if port is not None and (host not in user.chosen or not user.open_sockets):
            address = user.addresses.pick(host, port)
            if address is not None:
                user.chosen[host] = address
                set_addresses(user.handle, {**request.settings.resolve, **user.chosen})

    def _new_shard(self) -> Shard:
        shard = Shard()
        shard.multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch.callback(shard))
        shard.multi.setopt(pycurl.M_MAXCONNECTS, _USERS_OF_FIRST * 4)
        shard.multi.setopt(pycurl.M_PIPELINING, self._multiplexing)
        self._shards.append(shard)
        return shard

    def _become_wary(self) -> None:
        self._is_wary = True

    def _drop_if_dead(self, user: User) -> None:
        is_its_own = self._user_of.get(user.fd) is user
        if is_its_own and not user.active and not user.is_framed and is_readable(user.fd):
            self._drop(user, user.fd)

    def _drop_idle(self, fd: int) -> None:
        """Close the connection of a user that is idle, which the server has closed or said something on unasked."""
        user = self._user_of.get(fd)
        if user is None or user.active or user.is_framed or not is_readable(fd):
            return  # or the event was that it can be written, or one that was dealt with meanwhile
        self._is_wary = True
        self._drop(user, fd)

    def _drop(self, user: User, fd: int) -> None:
        # pycurl closes the socket by itself then, without calling _close_socket.
        self._forget(fd)
        user.drop_connection()
        user.closed = 0

    def _note_opened(self, user: User, fd: int, _purpose: int) -> int:
        if fd in self._user_of:
            self._forget(
                fd
            )  # an earlier socket with this number, which libcurl closed without being able to tell
        user.plain = False
        user.sockets += 1
        user.open_sockets += 1
        user.fd = fd
        self._user_of[fd] = user
        ask_for_stamps_on(fd)
        return 0

    def _close_socket(self, fd: int) -> int:
        self._forget(fd)
        os.close(fd)
        return 0

    def _forget(self, fd: int) -> None:
        user = self._user_of.pop(fd, None)
        if user is not None:
            user.open_sockets -= 1
            user.closed += 1
        self._watch.forget(fd)
