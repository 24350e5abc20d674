"""The base of everything a suite is made of: frozen, strict about its keys, and told in our own words.

A model made from wrong values raises ModelError (a SuiteError) with every mistake at once, also when it is made
inside another one: the inner key paths are then put under the outer key. pydantic's own errors stay inside.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from perfcore.suite.mistakes import MOST_TOLD, Mistake, ModelError, shown, suggestion

# Up to so many keys an unknown one is answered with the list of them.
_LISTED_KEYS = 10


class SuiteModel(BaseModel):
    """YAML keys are aliases; the attribute names (which carry units) are accepted as well."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, arbitrary_types_allowed=True
    )

    # Documented keys that are refused with "not supported yet", and what to use today (or "").
    not_yet: ClassVar[Mapping[str, str]] = {}
    # Keys of other tools in lower case, and what to write here.
    foreign: ClassVar[Mapping[str, str]] = {}

    def __init__(self, /, **data: Any) -> None:
        found = list(self.combinations(data))
        try:
            super().__init__(**data)
        except ValidationError as error:
            found += _mistakes_of(error, type(self))
        if found:
            raise ModelError(self.title_of(data), found) from None

    @classmethod
    def combinations(cls, data: Mapping[str, Any]) -> Iterator[Mistake]:
        """Mistakes that lie in which keys were given together. The values have not been checked."""
        yield from ()

    @classmethod
    def title_of(cls, data: Mapping[str, Any]) -> str:
        """How a message calls the thing that is wrong."""
        name = data.get("name")
        return f"{cls.__name__} {shown(name)}" if isinstance(name, str) else cls.__name__

    @classmethod
    @cache
    def yaml_keys(cls) -> tuple[str, ...]:
        """The YAML keys, in the order in which they are documented."""
        return tuple(field.alias or name for name, field in cls.model_fields.items())

    @classmethod
    @cache
    def attribute_names(cls) -> frozenset[str]:
        """Names that the Python interface takes beside the YAML keys; no suite file may use them."""
        return frozenset(name for name, field in cls.model_fields.items() if field.alias not in (None, name))

    @classmethod
    def unknown_key(cls, key: str) -> str:
        """What to say about a key that is none of these; a suggestion takes some fifty microseconds."""
        if key in cls.not_yet:
            today = cls.not_yet[key]
            return f"{key!r} is not supported yet" + (f"; {today}" if today else "")
        if answer := cls.foreign.get(key.lower()):
            return f"unknown key {shown(key)}; {answer}"
        hint = suggestion(key, cls.yaml_keys())
        if not hint and len(cls.yaml_keys()) <= _LISTED_KEYS:
            hint = f"; the keys here are {', '.join(cls.yaml_keys())}"
        return f"unknown key {shown(key)}{hint}"


def _mistakes_of(error: ValidationError, model: type[SuiteModel]) -> Iterator[Mistake]:
    unknown = 0
    for entry in error.errors(include_url=False):
        path, kind = entry["loc"], entry["type"]
        inner = entry.get("ctx", {}).get("error")
        if isinstance(inner, ModelError):
            yield from (mistake.under(path) for mistake in inner.found)
        elif kind == "value_error":
            yield Mistake(path, str(inner))
        elif kind == "missing":
            yield Mistake(path, "is missing")
        elif kind == "extra_forbidden":
            # In their order, so no more of them are told with a suggestion than are told at all.
            unknown += 1
            key = str(path[-1])
            yield Mistake(
                path, model.unknown_key(key) if unknown <= MOST_TOLD else f"unknown key {shown(key)}"
            )
        else:
            yield Mistake(path, f"{shown(entry['input'])} does not fit here: {entry['msg']}")


ModelT = TypeVar("ModelT", bound=SuiteModel)


def nested(model: type[ModelT]) -> BeforeValidator:
    """Makes the model from a mapping; anything else is a mistake that says what the mapping would hold."""

    def make(value: object) -> object:
        return value if isinstance(value, model) else make_model(model, value)

    return BeforeValidator(make)


def make_model(model: type[ModelT], value: object) -> ModelT:
    if not isinstance(value, Mapping):
        required = [field.alias or name for name, field in model.model_fields.items() if field.is_required()]
        keys = required or model.yaml_keys()[:4]
        raise ValueError(f"{shown(value)} is not a mapping; write {', '.join(f'{key}: …' for key in keys)}")
    odd = [key for key in value if not isinstance(key, str)]
    if odd:
        raise ValueError(f"the key {shown(odd[0])} is not text")
    return model(**value)
