"""`stages`: a load that changes over time, in straight lines from each value to the next."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import PlainValidator, WithJsonSchema

from perfcore.suite.field_types import MOST_USERS, PositiveDuration, whole_number
from perfcore.suite.mistakes import Mistake, ModelError, shown
from perfcore.suite.model import SuiteModel, make_model
from perfcore.suite.rates import RATE_SCHEMA, read_stage_rate
from perfcore.units import exact_rate, format_duration

_FORM_OF = {"users": "{duration: 30s, users: 50}", "rate": "{duration: 30s, rate: 500/s}"}
_FORMS = f"[{_FORM_OF['users']}] or [{_FORM_OF['rate']}]"

StageKind = Literal["users", "rate"]


@dataclass(frozen=True, slots=True)
class Stage:
    """The load goes straight to `value` (users, or iterations per second) within `duration_s`."""

    duration_s: float
    value: float


@dataclass(frozen=True, slots=True)
class Stages:
    """At least one stage, all of one kind; the first starts from 0."""

    kind: StageKind
    stages: tuple[Stage, ...]

    @property
    def duration_s(self) -> float:
        return sum(stage.duration_s for stage in self.stages)

    @property
    def document(self) -> list[dict[str, float]]:
        """As the result has it: seconds, and users or iterations per second."""
        return [{"duration_s": stage.duration_s, self.kind: stage.value} for stage in self.stages]

    @property
    def text(self) -> str:
        """`to 50 users in 30s, to 0 users in 10s`"""
        parts = (
            f"to {self._told(stage.value)} in {format_duration(stage.duration_s)}" for stage in self.stages
        )
        return ", ".join(parts)

    def _told(self, value: float) -> str:
        return exact_rate(value) if self.kind == "rate" else f"{value:,.0f} user{'' if value == 1 else 's'}"

    @property
    def expected_arrivals(self) -> float:
        """Of stages of a rate: the area below the line."""
        before, total = 0.0, 0.0
        for stage in self.stages:
            total += stage.duration_s * (before + stage.value) / 2
            before = stage.value
        return total

    @property
    def highest(self) -> float:
        return max(stage.value for stage in self.stages)


class _UserStage(SuiteModel):
    duration: PositiveDuration
    users: Annotated[int, *whole_number(MOST_USERS)]


class _RateStage(SuiteModel):
    duration: PositiveDuration
    rate: Annotated[float, PlainValidator(read_stage_rate), WithJsonSchema(RATE_SCHEMA)]


def read_stages(value: object) -> Stages:
    """Raises ModelError with the mistakes of all stages, ValueError where there are none."""
    if isinstance(value, Stages):
        return value
    if value in ([], ()):
        raise ValueError(f"is empty; write {_FORMS}")
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of stages; write {_FORMS}")
    kind = _kind_of(value)
    found: list[Mistake] = []
    stages = []
    for index, entry in enumerate(value):
        try:
            stages.append(_read_stage(entry, kind))
        except ModelError as error:
            found += [mistake.under((index,)) for mistake in error.found]
        except ValueError as error:
            found.append(Mistake((index,), str(error)))
    if not found and not any(stage.value for stage in stages):
        found.append(
            Mistake((), f"all stages are of 0 {'iterations a second' if kind == 'rate' else 'users'}")
        )
    if found:
        raise ModelError("stages", found)
    return Stages(kind or "users", tuple(stages))


def _kind_of(entries: list[object] | tuple[object, ...]) -> StageKind | None:
    """What the stages are of, as far as one of them says it."""
    kinds: tuple[StageKind, ...] = ("rate", "users")
    for kind in kinds:
        if any(isinstance(entry, dict) and kind in entry for entry in entries):
            return kind
    return None


def _read_stage(entry: object, kind: StageKind | None) -> Stage:
    if not isinstance(entry, dict):
        form = _FORM_OF[kind] if kind else " or ".join(_FORM_OF.values())
        raise ValueError(f"{shown(entry)} is not a stage; write {form}")
    if "users" in entry and kind == "rate":
        raise ModelError(
            "stage", [Mistake(("users",), "stages are either of users or of a rate; give one of them in all")]
        )
    if kind is None:
        _check_without_kind(entry)
    if kind == "rate":
        rates = make_model(_RateStage, entry)
        return Stage(rates.duration, rates.rate)
    users = make_model(_UserStage, entry)
    return Stage(users.duration, users.users)


def _check_without_kind(entry: dict[object, object]) -> None:
    """Raises ModelError: neither users nor a rate, and whatever else is wrong with this stage."""
    found = [Mistake((), f"neither users nor rate is given; write {' or '.join(_FORM_OF.values())}")]
    try:
        make_model(_UserStage, {**entry, "users": 0})
    except ModelError as error:
        found += error.found
    except ValueError as error:
        found.append(Mistake((), str(error)))
    raise ModelError("stage", found)


def stages_schema() -> dict[str, Any]:
    """Either form; a list of stages has one of them throughout."""
    forms = []
    for model in (_UserStage, _RateStage):
        form = model.model_json_schema()
        forms.append({key: form[key] for key in ("type", "properties", "required", "additionalProperties")})
    return {"anyOf": [{"type": "array", "minItems": 1, "items": form} for form in forms]}


StagesField = Annotated[
    Stages | None,
    PlainValidator(lambda value: None if value is None else read_stages(value)),
    WithJsonSchema(stages_schema()),
]
