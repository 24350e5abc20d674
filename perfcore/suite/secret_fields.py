"""Fields in free text whose names announce a secret: of JSON, also JSON in JSON and of several values, forms, XML."""

import re
from collections.abc import Iterator
from urllib.parse import unquote_plus

from perfcore.suite.secret_names import MASK, looks_secret, only_references

# Each has the groups name, value; a value may be cut by the end of the text.
_FIELDS = (
    re.compile(r'"(?P<name>[^"\\]{1,64})"\s*:\s*"(?P<value>(?:[^"\\]|\\.)*\\?)', re.DOTALL),
    re.compile(r'\\"(?P<name>[^"\\]{1,64})\\"\s*:\s*\\"(?P<value>[^"\\]*)'),
    re.compile(r"'(?P<name>[^'\\]{1,64})'\s*:\s*'(?P<value>(?:[^'\\]|\\.)*\\?)", re.DOTALL),
    re.compile(r"(?<![\w.%+-])(?P<name>[\w.%+-]{1,64})=(?P<value>[^&\s\"'<>]+)"),
    re.compile(r"<(?:\w{1,64}:)?(?P<name>[\w.-]{1,64})(?:\s[^<>]{0,256})?>(?P<value>[^<]+)"),
)
# Without one of these there is no field; most texts have none.
_MARK = re.compile("[:=<]")
_LIST_FIELD = re.compile(
    r'"(?P<name>[^"\\]{1,64})"\s*:\s*\[(?P<value>(?:[^"\]]|"(?:[^"\\]|\\.)*"?)*)', re.DOTALL
)
_TEXT_IN_LIST = re.compile(r'"((?:[^"\\]|\\.)+)("|\\?$)', re.DOTALL)


def secret_fields(text: str) -> Iterator[str]:
    """The values of such fields, as they stand in the text."""
    if not _MARK.search(text):
        return
    for pattern in _FIELDS:
        for match in pattern.finditer(text):
            if looks_secret(unquote_plus(match["name"])):
                yield match["value"]
    for match in _LIST_FIELD.finditer(text):
        if looks_secret(unquote_plus(match["name"])):
            yield from (entry[1] for entry in _TEXT_IN_LIST.finditer(match["value"]))


def mask_fields(text: str) -> str:
    """The text with the values of such fields masked."""
    if not _MARK.search(text):
        return text
    for pattern in _FIELDS:
        text = pattern.sub(_masked, text)
    return _LIST_FIELD.sub(_masked_list, text)


def _masked(match: re.Match[str]) -> str:
    if not match["value"] or not looks_secret(unquote_plus(match["name"])) or only_references(match["value"]):
        return match[0]
    start, end = match.start("value") - match.start(), match.end("value") - match.start()
    return match[0][:start] + MASK + match[0][end:]


def _masked_list(match: re.Match[str]) -> str:
    if not looks_secret(unquote_plus(match["name"])):
        return match[0]
    masked = _TEXT_IN_LIST.sub(rf'"{MASK}\2', match["value"])
    return match[0][: match.start("value") - match.start()] + masked
