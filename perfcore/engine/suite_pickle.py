"""A suite as bytes for a process that has not loaded the caller's modules.

Nothing of the caller's own is sent by reference: its class or function would have to be imported there, with all
that importing its program does. Texts and numbers of a class of its own (an enum of texts) go as what they are to
perfcore, plain texts and numbers; anything else is refused, and told.
"""

import io
import pickle
import sys
from types import FunctionType
from typing import Any

from perfcore.errors import UsageError
from perfcore.suite.json_conditions import JsonCheck, read_json_check
from perfcore.suite.template import Scope

_KNOWN_PACKAGES = sys.stdlib_module_names | {"perfcore", "numpy", "pydantic", "pydantic_core"}
_PLAIN_TYPES = (str, int, float, bytes)
# Of a Scope: compiled from the rest when asked for again, and partly functions.
_COMPILED = ("_resolved", "_failed")


def pack(content: object) -> bytes:
    """Raises UsageError for a value that cannot be sent."""
    buffer = io.BytesIO()
    try:
        _SuitePickler(buffer, pickle.HIGHEST_PROTOCOL).dump(content)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise _refusal(str(error)) from error
    return buffer.getvalue()


def unpack(content: bytes) -> Any:
    return pickle.loads(content)


class _SuitePickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, Scope):
            state = {name: value for name, value in vars(obj).items() if name not in _COMPILED}
            return _scope, (state,)
        if isinstance(obj, JsonCheck):
            return read_json_check, (obj.path, obj.wanted)
        if isinstance(obj, type | FunctionType):
            if _is_foreign(obj):
                raise _refusal(f"{_name(obj)} is the caller's own")
            return NotImplemented
        if not _is_foreign(type(obj)):
            return NotImplemented
        for plain in _PLAIN_TYPES:
            if isinstance(obj, plain):
                return plain, (_plain(plain, obj),)
        raise _refusal(f"it holds a {_name(type(obj))}, a class of the caller's own")


def _scope(state: dict[str, object]) -> Scope:
    scope = Scope()
    vars(scope).update(state)
    return scope


def _is_foreign(named: type | FunctionType) -> bool:
    return named.__module__.partition(".")[0] not in _KNOWN_PACKAGES


def _name(named: type | FunctionType) -> str:
    return f"{named.__module__}.{named.__qualname__}"


def _plain(plain: type, value: Any) -> Any:
    """The same value without the class, whatever the class makes of str() and the like."""
    if plain is str:
        return str.__str__(value)
    if plain is bytes:
        return bytes.__getitem__(value, slice(None))
    return plain.__pos__(value) if plain is float else int.__index__(value)


def _refusal(reason: str) -> UsageError:
    return UsageError(
        f"the suite cannot be handed to another process: {reason}; which this one, having "
        "several threads, needs for a run: make the suite of plain values and of perfcore's own classes"
    )
