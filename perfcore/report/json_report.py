"""The result document as JSON bytes: what results.json holds and what `--json` prints.

NaN and infinities become null (JSON has no word for them). A run of an hour must not be lost to one odd
value, so what JSON cannot say - a command line that is not UTF-8, an integer above 64 bits - is written as
near to it as it goes in place of an error.
"""

from collections.abc import Mapping
from typing import Any

import orjson

_OPTIONS = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY
_LARGEST_INTEGER = 2**64 - 1
_SMALLEST_INTEGER = -(2**63)


def result_json(document: Mapping[str, Any]) -> bytes:
    """The document in UTF-8, indented, keys in the order given, ending with a newline."""
    try:
        return orjson.dumps(document, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return orjson.dumps(_sayable(document), option=_OPTIONS)


def _sayable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if _SMALLEST_INTEGER <= value <= _LARGEST_INTEGER else str(int(value))
    if isinstance(value, Mapping):
        return {str(_sayable(key)): _sayable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_sayable(item) for item in value]
    try:
        orjson.dumps(value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        return _sayable(str(value))
    return value
