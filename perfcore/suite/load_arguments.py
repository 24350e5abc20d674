"""What a caller from Python may give beside a suite: checked here, so that a slip is told in one line."""

from collections.abc import Mapping
from pathlib import Path

from perfcore.errors import UsageError
from perfcore.suite.mistakes import shown
from perfcore.suite.template_syntax import NAME


def check_arguments(
    source: object, env: object = None, variables: object = None, tags: object = None
) -> None:
    """Raises UsageError for arguments of `load_suite` that are of no use."""
    if not isinstance(source, str | Path) or not str(source):
        raise UsageError(f"source: {shown(source)} is not the path of a suite file; - is standard input")
    if env is not None and not isinstance(env, str):
        raise UsageError(f"env: {shown(env)} is not the name of an environment")
    check_variables(variables)
    _check_texts("tags", tags)


def check_variables(variables: object) -> None:
    """Raises UsageError unless it is a mapping of names, as `${NAME}` has them, to texts."""
    _check_texts("variables", variables)
    for name in variables if isinstance(variables, Mapping) else ():
        if not NAME.fullmatch(name):
            hint = "a name has letters, digits, _, - and ., and starts with a letter or _"
            raise UsageError(f"variables: {shown(name)} is no name; {hint}")


def _check_texts(argument: str, value: object) -> None:
    if value is None:
        return
    if not isinstance(value, Mapping):
        raise UsageError(f"{argument}: {shown(value)} is not a mapping of names to texts")
    for name, text in value.items():
        if not isinstance(name, str):
            raise UsageError(f"{argument}: the name {shown(name)} is not text")
        if not isinstance(text, str):
            # The value may be a secret, so it is not shown.
            kind = "None" if text is None else f"of type {type(text).__name__}"
            raise UsageError(f"{argument}: the value of {shown(name)} is {kind}, not text")
