"""`retries`, `retry_on`: after which outcomes a request is tried again, and how often."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.expectation import read_status
from perfcore.suite.field_types import read_list, whole_number
from perfcore.suite.mistakes import shown, suggestion

_MOST_RETRIES = 100
CONNECT_KINDS = ("dns", "refused", "unreachable", "connect_timeout", "tls")
_OTHER_KINDS = ("timeout", "reset", "closed", "truncated", "bad_response", "too_many_redirects")
_RETRY_WORDS: dict[str, frozenset[str]] = {
    "connect": frozenset(CONNECT_KINDS),
    **{kind: frozenset({kind}) for kind in (*_OTHER_KINDS, *CONNECT_KINDS)},
}
_RETRY_FORMS = f"a status such as 502 or 5xx, or one of {', '.join(_RETRY_WORDS)}"


@dataclass(frozen=True, slots=True)
class RetryConditions:
    """After which outcomes a request is tried again: error kinds and statuses. `texts` is how the suite spells it."""

    texts: tuple[str, ...]
    kinds: frozenset[str]
    statuses: frozenset[int]


def read_retry_conditions(value: object) -> RetryConditions:
    if isinstance(value, RetryConditions):
        return value
    conditions = read_list(value, _read_retry_condition)
    if not conditions:
        raise ValueError(f"is empty; write {_RETRY_FORMS}, or retries: 0")
    return RetryConditions(
        tuple(text for one in conditions for text in one.texts),
        frozenset().union(*(one.kinds for one in conditions)),
        frozenset().union(*(one.statuses for one in conditions)),
    )


def _read_retry_condition(value: object) -> RetryConditions:
    if isinstance(value, str) and value in _RETRY_WORDS:
        return RetryConditions((value,), _RETRY_WORDS[value], frozenset())
    try:
        status = read_status(None if isinstance(value, list | tuple) else value)
    except ValueError:
        hint = suggestion(value, _RETRY_WORDS) if isinstance(value, str) else ""
        raise ValueError(f"{shown(value)} is not {_RETRY_FORMS}{hint}") from None
    if min(status.accepted) < 200:
        raise ValueError(f"{shown(value)} is no status that a request can end with; write 200 to 599")
    return RetryConditions((status.text,), frozenset(), status.accepted)


_STATUS_WORD = r"([2-5][xX]{2}|[2-5][0-9]{2})"
RetryCount = Annotated[int, *whole_number(_MOST_RETRIES)]
RetryOn = Annotated[
    RetryConditions,
    PlainValidator(read_retry_conditions),
    WithJsonSchema(
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    {"enum": [*_RETRY_WORDS]},
                    {"type": "integer", "minimum": 200, "maximum": 599},
                    {"type": "string", "pattern": rf"^\s*{_STATUS_WORD}\s*(-\s*{_STATUS_WORD}\s*)?$|\$\{{"},
                ]
            },
        }
    ),
]
