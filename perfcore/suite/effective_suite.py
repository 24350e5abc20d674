"""The suite as it takes effect: environment and defaults merged in, secrets masked, as YAML that loads again.

Texts of requests keep their `${…}`; everything else shows its value. Masked values read `***`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import yaml

from perfcore.suite.authentication import LOAD_TIME_KEYS
from perfcore.suite.expectation import StatusSet
from perfcore.suite.masker import Masker
from perfcore.suite.model import SuiteModel
from perfcore.suite.multipart import Multipart
from perfcore.suite.request_check import REQUEST_KEYS
from perfcore.suite.retry_conditions import RetryConditions
from perfcore.suite.secret_names import MASK, looks_secret, only_references
from perfcore.suite.secret_values import last_name
from perfcore.suite.stages import Stage, StageKind, Stages
from perfcore.suite.template_syntax import escaped
from perfcore.suite.test_case import TestCase
from perfcore.suite.test_suite import TestSuite
from perfcore.suite.think_time import ThinkTime
from perfcore.suite.yaml_document import core_value
from perfcore.units import format_duration, parse_duration

# Told even when the suite leaves them at their defaults.
_ALWAYS_OF_REQUESTS = ("method", "timeout_s")
_ALWAYS = (*_ALWAYS_OF_REQUESTS, "parallel_users")


def effective_suite(suite: TestSuite, masker: Masker) -> str:
    """YAML text of a suite file."""
    data: dict[str, Any] = {"name": _settled(suite.name, masker)}
    if suite.description:
        data["description"] = _settled(suite.description, masker)
    if suite.tags:
        data["tags"] = _settled(masker.tags(suite.tags), masker)
    if suite.base_url:
        data["base_url"] = escaped(masker.url(suite.base_url))
    data["mode"] = suite.mode
    variables = {**suite.scope.variables, **{name: escaped(text) for name, text in suite.scope.given.items()}}
    if variables:
        data["variables"] = {name: _variable(name, value, suite, masker) for name, value in variables.items()}
    if suite.secrets:
        data["secrets"] = list(suite.secrets)
    if limits := _plain(suite.limits, "limits"):
        data["limits"] = limits
    data["tests"] = [_test(case, masker) for case in suite.tests]
    return yaml.dump(
        {"test_suite": data},
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        default_flow_style=False,
        width=110,
    )


def _variable(name: str, value: object, suite: TestSuite, masker: Masker) -> object:
    if name in suite.secrets and not looks_secret(name):
        return value if isinstance(value, str) and only_references(value) else MASK
    return masker.field(name, value)


def _test(case: TestCase, masker: Masker) -> dict[str, Any]:
    test: dict[str, Any] = {}
    for name, field in TestCase.model_fields.items():
        if name in case.model_fields_set or name in (
            _ALWAYS if _has_fixed_users(case) else _ALWAYS_OF_REQUESTS
        ):
            key = field.alias or name
            value = getattr(case, name)
            if key == "proxy":
                value = masker.url(value)
            test[key] = (
                _request(key, value, masker)
                if key in REQUEST_KEYS
                else _settled(_announced(key, _plain(value, name), masker), masker)
            )
    if case.effective_iterations is not None and _has_fixed_users(case):
        test["iterations"] = case.effective_iterations
    return {key: value for key, value in test.items() if value is not None or key == "json"}


def _has_fixed_users(case: TestCase) -> bool:
    return not case.is_open and case.stages is None


def _request(key: str, value: Any, masker: Masker) -> Any:
    """A text of the request: still a template, masked."""
    if key == "endpoint":
        return masker.url(value)
    if key == "headers":
        return masker.headers(value)
    if key == "auth" and value is not None:
        return {
            name: _auth_text(name, text, masker) for name, text in value.model_dump(exclude_none=True).items()
        }
    if isinstance(value, Multipart):
        files = {name: [str(path.absolute()) for path in paths] for name, paths in value.files.items()}
        parts = {
            "fields": masker.field("", _unlisted(value.fields)),
            "files": _settled(_unlisted(files), masker),
        }
        return {key: entries for key, entries in parts.items() if entries}
    return masker.field("", value)


def _unlisted(entries: Mapping[str, Sequence[str]]) -> dict[str, str | Sequence[str]]:
    """A list of one as people write it."""
    return {name: texts[0] if len(texts) == 1 else texts for name, texts in entries.items()}


def _auth_text(name: str, text: str, masker: Masker) -> str:
    if name in LOAD_TIME_KEYS:
        return masker.text(text)
    return text if name == "type" or only_references(text) else MASK


def _announced(key: str, value: Any, masker: Masker) -> Any:
    """A settled value without what its names announce: tags, expected headers and JSON."""
    if key == "tags":
        return masker.tags(value)
    if key == "expect" and isinstance(value, dict):
        masked = dict(value)
        if "header" in value:
            masked["header"] = masker.field("", value["header"])
        if "json" in value:
            masked["json"] = {path: _wanted(path, wanted, masker) for path, wanted in value["json"].items()}
        return masked
    return value


def _wanted(path: str, wanted: Any, masker: Masker) -> Any:
    """What a JSONPath must find; of conditions on a secret only those stay that say nothing of its value."""
    name = last_name(path)
    if isinstance(wanted, Mapping) and masker.announces(name):
        says_nothing = ("exists", "length")
        return {
            key: value if key in says_nothing else masker.field(name, value) for key, value in wanted.items()
        }
    return masker.field(name, wanted)


def _plain(value: Any, name: str) -> Any:
    """A checked value as the suite file has it."""
    if isinstance(value, float) and name in _NUMBERS_AS_TEXT:
        return _NUMBERS_AS_TEXT[name](value)
    if isinstance(value, float) and name.endswith("_s"):
        return duration_text(value)
    if isinstance(value, ThinkTime):
        return _think_time(value)
    if isinstance(value, Stages):
        return [_stage(stage, value.kind) for stage in value.stages]
    if isinstance(value, StatusSet):
        return _status(value)
    if isinstance(value, RetryConditions):
        return [core_value(text) for text in value.texts]
    if isinstance(value, re.Pattern):
        return value.pattern
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, SuiteModel):
        fields = type(value).model_fields
        set_names = [field_name for field_name in fields if field_name in value.model_fields_set]
        return {fields[field].alias or field: _plain(getattr(value, field), field) for field in set_names}
    if name == "json_conditions":
        return {check.path: check.wanted for check in value}
    return list(value) if isinstance(value, tuple) else value


def _stage(stage: Stage, kind: StageKind) -> dict[str, Any]:
    value = _rate(stage.value) if kind == "rate" else round(stage.value)
    return {"duration": duration_text(stage.duration_s), kind: value}


def duration_text(seconds: float) -> str | float:
    """The readable form when it says exactly this many seconds, else the number."""
    text = format_duration(seconds)
    return text if parse_duration(text) == seconds else seconds


def _rate(per_s: float) -> str | float:
    return f"{per_s:.0f}/s" if per_s.is_integer() else per_s


def _percentage(share: float) -> str:
    return f"{Decimal(repr(share)).scaleb(2).normalize():f}%"


def _percentile_name(percentile: float) -> str:
    return f"p{Decimal(repr(percentile)).normalize():f}"


_NUMBERS_AS_TEXT: dict[str, Callable[[float], str | float]] = {
    "max_rate_per_s": _rate,
    "rate_per_s": _rate,
    "abort_on_error_rate": _percentage,
    "warmup": duration_text,
    "metric": _percentile_name,
    "precision": _percentage,
}


def _think_time(think_time: ThinkTime) -> Any:
    if think_time.kind == "exponential":
        return {"mean": duration_text(think_time.mean_s), "distribution": "exponential"}
    if think_time.kind == "uniform":
        return {"min": duration_text(think_time.min_s), "max": duration_text(think_time.max_s)}
    return duration_text(think_time.mean_s)


def _status(status: StatusSet) -> Any:
    if not status.text.startswith("["):
        return core_value(status.text)
    return [core_value(text.strip()) for text in status.text[1:-1].split(",")]


def _settled(value: Any, masker: Masker) -> Any:
    """A value in which `${…}` has been replaced: what still looks like one is text."""
    if isinstance(value, str):
        return escaped(masker.text(value))
    if isinstance(value, Mapping):
        return {str(key): _settled(entry, masker) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_settled(entry, masker) for entry in value]
    return value


class _Dumper(yaml.SafeDumper):
    """Quotes what this format's reader would take for a number, and repeats what is shared."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, value: object) -> yaml.ScalarNode:
    text = str(value).encode("utf-8", "replace").decode()
    block = "|" if "\n" in text and text.isascii() and not text.startswith((" ", "\n")) else None
    style = "'" if not isinstance(core_value(text), str) else block
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_multi_representer(object, _represent_text)
