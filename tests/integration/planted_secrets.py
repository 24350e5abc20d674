"""Some fifty secrets, one for each place where a suite, a command line or an environment can hold one.

Every value is random and distinct, so that whatever of it turns up anywhere came from there.
"""

import base64
import json
import random
import re
import string
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, unquote_plus

# What is left of a secret may be this long by chance, or because fewer characters are nothing to go by.
LONGEST_REMNANT = 7


@dataclass
class Secrets:
    """Made as they are asked for; the same ones in each run of the tests."""

    values: dict[str, str] = field(default_factory=dict)
    _random: random.Random = field(default_factory=lambda: random.Random(20_241_202))

    def __call__(self, where: str, extra: str = "", length: int = 20) -> str:
        """A new value for this place; the characters of `extra` are spread over it."""
        letters = self._random.choices(string.ascii_letters + string.digits, k=length)
        for at, char in enumerate(extra):
            letters[3 * at + 3] = char
        assert where not in self.values
        self.values[where] = "".join(letters)
        return self.values[where]

    def digits(self, where: str) -> int:
        self.values[where] = "".join(self._random.choices("123456789", k=16))
        return int(self.values[where])


@dataclass
class Planted:
    """A suite, the options and the environment to run it with, and what they hold."""

    secrets: Secrets
    suite: Path
    folder: Path
    options: list[str]
    environ: dict[str, str]
    long_suite: Path

    @property
    def values(self) -> dict[str, str]:
        return self.secrets.values


def _pem(secrets: Secrets) -> str:
    lines = [secrets(f"line {number} of a key file", length=48) for number in range(3)]
    return "\n".join(("-----BEGIN KEY-----", *lines, "-----END KEY-----")) + "\n"


def plant(folder: Path, address: str, session: str) -> Planted:
    """Write the suite and its files into the folder; `address` is the server that everything goes to."""
    s = Secrets()
    s.values["session that the server gave"] = session
    (folder / "token.txt").write_text(s("file", '+"/<') + "\n")
    (folder / "key.pem").write_text(_pem(s))
    environ = {
        "FROM_ENVIRON": s("environment, named in secrets:", "&é"),
        "DEPLOY_TOKEN": s("environment, name announces it"),
        "PERFCORE_VAR": f"TWIN_TOKEN={s('PERFCORE_VAR', '/+')}",
    }
    options = [
        "--var", f"LISTED={s('--var, named in secrets:')}",
        f"--var=SHOP_PASSWORD={s('--var=, name announces it', '%')}",
        "--var", f"TWIN_TOKEN={s('--var in place of the twin')}",
        "--tag", f"api_key={s('--tag, name announces it')}",
        f"--tag=owner={s.values['environment, name announces it']}",
    ]  # fmt: skip
    suite = {
        "name": "Every kind of secret",
        "base_url": f"http://ursula:{quote(s('base_url, user info', '@/:'), safe='')}@{address}",
        "mode": "parallel",
        "tags": {"session_id": s("tag of the suite"), "team": "shop"},
        "secrets": ["LISTED", "FROM_ENVIRON", "PLAIN_NAME"],
        "variables": {
            "PLAIN_NAME": s("variable, named in secrets:", "ü&<"),
            "db_password": s("variable, name announces it", '"\\'),
            "DATABASE": {"user": "dora", "password": s("variable, inside a mapping")},
            "EITHER": f"${{choice({s('choice in a variable, first')}, {s('choice in a variable, second')})}}",
        },
        "defaults": {"iterations": 6, "timeout": "5s"},
        "tests": _tests(s, address),
    }
    path = folder / "suite.json"
    path.write_text(json.dumps({"test_suite": suite}, ensure_ascii=False))
    long_suite = folder / "long.json"
    long_suite.write_text(json.dumps({"test_suite": {**suite, "tests": _lasting(suite["tests"])}}))
    return Planted(s, path, folder, options, environ, long_suite)


def put_on_the_wire(planted: Planted) -> None:
    """Move the login of `base_url`, which is for libcurl's transfers alone, to where the wire path knows it."""
    for path in (planted.suite, planted.long_suite):
        document = json.loads(path.read_text())
        suite = document["test_suite"]
        login, _, address = suite["base_url"].removeprefix("http://").rpartition("@")
        user, _, password = login.partition(":")
        suite["base_url"] = f"http://{address}"
        suite["defaults"]["auth"] = {"type": "basic", "username": user, "password": unquote(password)}
        path.write_text(json.dumps(document))


def _lasting(tests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of the tests those that use what is no secret by itself, for as long as they are let."""
    users = [test for test in tests if test["name"] in ("Secrets", "Announced", "Twin", "File", "Choice")]
    return [{**test, "iterations": 1_000_000, "pacing": "50ms", "graceful_stop": "500ms"} for test in users]


def _tests(s: Secrets, address: str) -> list[dict[str, Any]]:
    expected_header = s("expected header")
    return [
        *_references(),
        *_headers(s),
        *_urls(s, address),
        *_bodies(s),
        *_logins(s),
        *_expectations(s, expected_header),
    ]


def _references() -> list[dict[str, Any]]:
    """What uses secrets that the suite's variables, the command line, the environment and files hold."""
    return [
        {
            "name": "Secrets",
            "endpoint": "/a/${FROM_ENVIRON}",
            "params": {"q": "${LISTED}", "plain": "${PLAIN_NAME}"},
        },
        {
            "name": "Announced",
            "endpoint": "/b/${DEPLOY_TOKEN}?x=${SHOP_PASSWORD}",
            "headers": {"X-Own": "${db_password}"},
        },
        {
            "name": "Twin",
            "endpoint": "/c",
            "headers": {"X-Own": "${TWIN_TOKEN}"},
            "method": "POST",
            "json": "${DATABASE}",
        },
        {"name": "File", "endpoint": "/d", "method": "POST", "json": {"a": "${file:token.txt}"}},
        {"name": "Key file", "endpoint": "/e", "method": "POST", "body": "${file:key.pem}"},
    ]


def _headers(s: Secrets) -> list[dict[str, Any]]:
    """Headers; and a tag of a test, in passing."""
    return [
        {
            "name": "Bearer",
            "endpoint": "/f",
            "headers": {"Authorization": f"Bearer {s('Authorization', '+/=')}"},
        },
        {
            "name": "Cookies",
            "endpoint": "/g",
            "headers": {"Cookie": f"sid={s('Cookie')}; theme={s('Cookie, second')}"},
            "tags": {"access_token": s("tag of a test")},
        },
        {
            "name": "Keys",
            "endpoint": "/h",
            "headers": {
                "X-Api-Key": f"${{NO_SUCH:-{s('default of a reference')}}}",
                "Proxy-Authorization": f"Bearer {s('Proxy-Authorization')}",
            },
        },
        {"name": "Choice", "endpoint": "/i", "headers": {"X-Auth-Token": "${EITHER}"}},
    ]


def _urls(s: Secrets, address: str) -> list[dict[str, Any]]:
    return [
        {
            "name": "Direct choice",
            "endpoint": f"/j?access_token=${{choice({s('choice in a URL, first')}, {s('choice in a URL, second')})}}",
        },
        {
            "name": "User info",
            "endpoint": f"http://ulf:{quote(s('endpoint, user info', '#?'), safe='')}@{address}/k",
        },
        {
            "name": "Parameters",
            "endpoint": f"/l?token={s('parameter in an endpoint')}",
            "params": {"api_key": s("params", "&")},
        },
    ]


def _bodies(s: Secrets) -> list[dict[str, Any]]:
    return [
        {
            "name": "Form",
            "endpoint": "/m",
            "method": "POST",
            "form": {"client_secret": s("form", "+ &"), "b": "no"},
        },
        {
            "name": "Text form",
            "endpoint": "/n",
            "method": "POST",
            "body": f"user=ada&password={s('form in a body')}&x=1",
        },
        {
            "name": "Text JSON",
            "endpoint": "/o",
            "method": "POST",
            "body": json.dumps({"user": "ada", "password": s("JSON in a body", '"\\')}),
        },
        {
            "name": "JSON",
            "endpoint": "/p",
            "method": "POST",
            "json": {
                "user": {"password": s("json", 'é/"')},
                "tokens": [s("json, in a list")],
                "pin": s.digits("json, number"),
            },
        },
    ]


def _logins(s: Secrets) -> list[dict[str, Any]]:
    return [
        {
            "name": "Basic",
            "endpoint": "/q",
            "auth": {"type": "basic", "username": "bea", "password": s("auth basic", ":é")},
        },
        {"name": "Token", "endpoint": "/r", "auth": {"type": "bearer", "token": s("auth bearer")}},
    ]


def _expectations(s: Secrets, header: str) -> list[dict[str, Any]]:
    """Whatever the server answers, these are not met, so that what was expected is told."""
    cut = {"status": "5xx", "body_contains": "never", "header": {"X-Auth-Token": header}}
    return [
        {
            "name": "Expected",
            "endpoint": "/s",
            "expect": {**cut, "json": {"$.user.access_token": s("expected JSON"), "$.a": {"equals": 1}}},
        },
        {
            "name": "Expected text",
            "endpoint": "/t",
            "expect": {"status": "5xx", "body_contains": f'"password": "{s("expected body")}"'},
        },
        {
            "name": "Expected JSON",
            "endpoint": "/small",
            "expect": {"status": "5xx", "json": {"$.secret": {"contains": s("expected JSON, condition")}}},
        },
    ]


def routes(s: Secrets, address: str) -> list[dict[str, Any]]:
    """Tests that need more of a transport than every one has."""
    return [
        {
            "name": "Proxy",
            "endpoint": "/u",
            "proxy": f"http://peter:{quote(s('proxy', '@'), safe='')}@{address}",
        },
        {
            "name": "Multipart",
            "endpoint": "/v",
            "method": "POST",
            "multipart": {"fields": {"password": s("multipart"), "note": f"token={s('form in a field')}"}},
        },
        {
            "name": "Digest",
            "endpoint": "/w",
            "auth": {"type": "digest", "username": "dan", "password": s("auth digest")},
        },
    ]


def remnants(secret: str, output: bytes) -> list[str]:
    """What of the secret is in the output: the pieces of more than LONGEST_REMNANT characters, however written."""
    found = []
    for view in _views(output):
        found += [piece for piece in {secret, *_pieces(secret)} if piece.lower() in view]
    text = output.decode("utf-8", "replace").lower()
    return [*found, *(form for form in _coded(secret) if form.lower() in text)]


def _pieces(secret: str) -> list[str]:
    """Each stretch of the secret that is longer than a remnant may be. Of a number only the whole is telling."""
    if secret.isdigit():
        return [secret]
    return [secret[at : at + LONGEST_REMNANT + 1] for at in range(len(secret) - LONGEST_REMNANT)]


_VIEWS: dict[bytes, list[str]] = {}


def _views(output: bytes) -> list[str]:
    """The output as it is, and with what escapes there are undone."""
    if output not in _VIEWS:
        text = output.decode("utf-8", "replace")
        unescaped = text
        views = [text, unquote(text), unquote_plus(text), unquote(unquote(text)), unescape(text)]
        for _ in range(3):
            unescaped = re.sub(
                r'\\(?:u([0-9a-fA-F]{4})|(["\\/]))',
                lambda match: chr(int(match[1], 16)) if match[1] else match[2],
                unescaped,
            )
            views.append(unescaped)
        _VIEWS.clear()
        _VIEWS[output] = [view.lower() for view in dict.fromkeys(views)]
    return _VIEWS[output]


def _coded(secret: str) -> list[str]:
    """The secret in percent-encoding, JSON, hexadecimal, and in base64 behind 0, 1 and 2 other bytes."""
    encoded = secret.encode()
    forms = [quote(secret, safe=""), json.dumps(secret)[1:-1], encoded.hex()]
    for before in range(3):
        # From the first whole group of three bytes on to the last.
        whole = encoded[-before % 3 :]
        forms.append(base64.b64encode(whole[: len(whole) // 3 * 3]).decode())
    return [form for form in forms if len(form) > LONGEST_REMNANT]
