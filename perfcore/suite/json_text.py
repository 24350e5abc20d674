"""JSON as bytes, as orjson writes it; whole numbers beyond 64 bits as well."""

import json

import orjson


def json_bytes(value: object) -> bytes:
    """Compact UTF-8. Raises ValueError for what JSON cannot hold (nan, a date, text that is no Unicode)."""
    try:
        return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError as error:
        if "64-bit" not in str(error):
            raise ValueError(str(error)) from None
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
