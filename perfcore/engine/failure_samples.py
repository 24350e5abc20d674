"""A few failing exchanges of each kind, so that a count of failures comes with what it looked like."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perfcore.engine.response_keeping import decoded
from perfcore.engine.transport import Exchange, Request, Transport
from perfcore.metrics.outcomes import ERROR_KINDS, LAST_TRANSPORT_KIND
from perfcore.suite.secret_values import given_secrets, sent_secrets
from perfcore.suite.secrets import Masker

SAMPLES_PER_KIND = 5
BODY_KEPT = 2048
# A user whose answers are kept is slower; who fails less often than this is left alone.
ANSWERS_SOUGHT = 1000
_NO_BODY_STATUSES = (204, 304)
# libcurl cuts its error texts at 255 bytes (CURL_ERROR_SIZE), and it is the end that quotes.
LIBCURL_TEXT = 200
# Of what was sent so much is looked at for fields that are secret; an answer's sample is shorter still.
_SENT_LOOKED_AT = 16 * 1024


class FailureSampler:
    """Keeps the first few failures of each test and kind, masked, and gives each to `send` as it happens.

    Sent at once, so that the samples of a worker that is killed later are known as well. Over libcurl transfers answers
    are not kept as a rule, so a first sample may lack headers and body; after a failure the user's next answers are
    kept, until one of them fails, and only whole samples follow.
    """

    def __init__(
        self, masker: Masker, transport: Transport, start_ns: int, send: Callable[[Mapping[str, Any]], None]
    ) -> None:
        self._masker = masker
        self._transport = transport
        self._start_ns = start_ns
        self._send = send
        self._kept: dict[tuple[int, int], int] = {}

    def note(self, exchange: Exchange, explanation: str) -> None:
        """Called for every failure; all but the first few cost one look-up."""
        key = (exchange.case, exchange.error)
        kept = self._kept.get(key, 0)
        if kept >= SAMPLES_PER_KIND:
            exchange.seeks = 0
            return
        was_answered = exchange.error > LAST_TRANSPORT_KIND
        is_whole = not was_answered or exchange.seeks > 0 or _is_whole(exchange)
        if was_answered and (exchange.seeks or not is_whole):
            exchange.seeks = ANSWERS_SOUGHT
            self._transport.keep_next(exchange)
        if is_whole or not kept:
            self._kept[key] = kept + 1
            sample = self._sample(exchange, explanation)
            self._send(
                {"failure": {"case": exchange.case, "kind": ERROR_KINDS[exchange.error], "sample": sample}}
            )

    def _sample(self, exchange: Exchange, explanation: str) -> dict[str, Any]:
        request = exchange.request
        assert request is not None
        masker = self._masker.also(_secrets_of(exchange, request))
        answered = exchange.error > LAST_TRANSPORT_KIND
        if answered and not explanation:
            explanation = self._explain_status(exchange)
        return {
            "at_s": round((exchange.done_ns - self._start_ns) / 1e9, 6),
            "request": f"{request.settings.method} {masker.url(request.url)}",
            "status": exchange.status if answered else None,
            "detail": masker.answer(explanation, is_cut=len(explanation) >= LIBCURL_TEXT),
            "headers": masker.headers(exchange.headers),
            # Cut here, by a connection that broke, or by the server.
            "body": masker.answer(decoded(exchange.body[:BODY_KEPT]), is_cut=True),
        }

    def _explain_status(self, exchange: Exchange) -> str:
        headers = dict(exchange.headers)
        if 300 <= exchange.status < 400 and "location" not in headers:
            location = self._transport.location(exchange)
            if location:
                headers["location"] = location
        request = exchange.request
        if request is not None and request.settings.follow_redirects and "location" in headers:
            return f"{exchange.status} → {headers['location']}; only http and https are followed"
        broken = exchange.load.expectation.first_broken(exchange.status, headers, b"", 0.0)
        return broken[1] if broken else ""


def _is_whole(exchange: Exchange) -> bool:
    """Whether headers and body were handed back with an answer, as far as it shows."""
    return bool(exchange.headers) and bool(
        exchange.body or exchange.status in _NO_BODY_STATUSES or exchange.headers.get("content-length") == "0"
    )


def _secrets_of(exchange: Exchange, request: Request) -> Iterator[str]:
    """What is secret in this exchange alone: a token that was chosen or extracted, a session that the server gave."""
    body = (
        request.body[:_SENT_LOOKED_AT].decode("utf-8", "replace") if isinstance(request.body, bytes) else ""
    )
    yield from sent_secrets(request.headers, request.url, body)
    if request.credentials is not None:
        yield request.credentials[1]
    yield from given_secrets(exchange.headers)
