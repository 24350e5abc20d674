"""A small server of asyncio protocols on a thread of its own, for as long as a test needs it."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(protocol: Callable[[], asyncio.Protocol], socket: Path | None = None) -> Iterator[int]:
    """Yields the port on 127.0.0.1 on which each connection is given a protocol; on this Unix socket, too."""
    loop = asyncio.new_event_loop()

    async def listen() -> int:
        listener = await loop.create_server(protocol, "127.0.0.1", 0, backlog=512)
        if socket is not None:
            await loop.create_unix_server(protocol, str(socket), backlog=512)
        port: int = listener.sockets[0].getsockname()[1]
        return port

    port = loop.run_until_complete(listen())
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
