"""What a target says of how long it held the requests that it was sent."""

import json
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

from perfcore.errors import SetupFailedError

_PATIENCE_S = 10.0


def take_held(url: str) -> dict[str, Any]:
    """`/truth/held` of the target at this URL since the last time: counts, percentiles in nanoseconds.

    SetupFailedError when it does not answer. No proxy that the environment names is asked.
    """
    place = urlsplit(url)
    connection = HTTPConnection(place.hostname or "", place.port, timeout=_PATIENCE_S)
    try:
        connection.request("GET", "/truth/held?reset=1")
        held: dict[str, Any] = json.loads(connection.getresponse().read())
    except (OSError, HTTPException, ValueError) as error:
        raise SetupFailedError(f"the target does not tell what it held: {error}") from error
    finally:
        connection.close()
    return held
