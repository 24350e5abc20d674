"""The life of the server: where it listens, from the announcement until a signal ends it. One thread, one loop."""

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from perfcore.errors import UsageError
from perfcore.target.alarm import Alarm
from perfcore.target.certificate import server_context
from perfcore.target.receive_stamps import StampedListener, StampedSocket
from perfcore.target.server import Connection
from perfcore.target.state import TargetState

# Thousands of users connect in the same instant while the loop accepts on one core. With the usual 100 the
# kernel would drop the rest, and their SYN would be sent again a second later: a delay of the target's own
# making. The kernel cuts this to net.core.somaxconn.
_BACKLOG = 16_384


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def serve(
    place: tuple[str, int] | Path, uses_tls: bool, ca_out: Path | None, announce: Callable[[str], None]
) -> None:
    """Serve until SIGTERM or SIGINT. `announce` gets the URL, or `unix:PATH`, once connections are accepted.

    UsageError when the place (host and port, or the path of a unix socket) cannot be used or TLS cannot be had.
    """
    context = server_context(ca_out) if uses_tls else None
    allow_many_connections()
    # It warns of writes to clients that have gone, a line each; that is their right, and under load it is many.
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    if isinstance(place, Path):
        with _unix_listener(place) as listener:
            asyncio.run(_serve(listener, f"unix:{place}", context, announce))
        return
    listener = _listen(*place)
    address, port = listener.getsockname()[:2]
    shown_address = f"[{address}]" if ":" in address else address
    url = f"{'https' if context else 'http'}://{shown_address}:{port}"
    asyncio.run(_serve(listener, url, context, announce))


def _listen(host: str, port: int) -> socket.socket:
    """A socket on the first address of `host`; on several, port 0 would be a different port on each."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        # A name that cannot be resolved has a negative number, which is not the kernel's.
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise UsageError(f"cannot listen on {host}:{port}: {reason}") from None


@contextlib.contextmanager
def _unix_listener(path: Path) -> Iterator[socket.socket]:
    """A listening socket at this path; its file is removed at the end, unless it is another's by then."""
    _remove_stale_socket(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        try:
            listener.bind(str(path))
            listener.listen(_BACKLOG)
        except OSError as error:
            # Python itself refuses a path that is too long, and has no number for that.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise UsageError(f"cannot listen on {path}: {reason}") from None
        made = path.lstat()
        try:
            yield listener
        finally:
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), made):
                    path.unlink()
    finally:
        listener.close()


def _remove_stale_socket(path: Path) -> None:
    """Remove what a server that was killed left behind; UsageError when something else is there."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UsageError(
                f"cannot listen on {path}: there is something that is no socket; give another path"
            )
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.setblocking(False)
            probe.connect(str(path))
    except FileNotFoundError:
        return
    except ConnectionRefusedError:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return
    except BlockingIOError:
        # Its queue of connections is full: it is served, if slowly.
        pass
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UsageError(f"cannot listen on {path}: {reason}") from None
    raise UsageError(f"cannot listen on {path}: somebody listens there; give another path")


async def _serve(
    listener: socket.socket, shown: str, context: ssl.SSLContext | None, announce: Callable[[str], None]
) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    state = TargetState(scheme="https" if context else "http")
    alarm = Alarm(loop)
    connections: set[Connection] = set()
    accepted: dict[int, StampedSocket] = {}
    if context is None and listener.family != socket.AF_UNIX:
        listener = stamped = StampedListener(listener)
        accepted = stamped.accepted
    start = loop.create_unix_server if listener.family == socket.AF_UNIX else loop.create_server
    server = await start(
        lambda: Connection(state, alarm, connections, accepted), sock=listener, ssl=context, backlog=_BACKLOG
    )
    # What was loaded to get here stays; the collector need not walk through it while requests wait.
    gc.freeze()
    announce(shown)
    await stopped.wait()
    server.close()
    for connection in list(connections):
        connection.abort()
    alarm.close()
