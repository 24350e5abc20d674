"""Nothing secret is written, and what is written loads again."""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from perfcore.errors import SuiteError
from perfcore.suite.config_loader import load_suite
from perfcore.suite.secret_names import looks_secret, only_references
from perfcore.suite.secrets import Masker, effective_suite
from perfcore.suite.test_suite import TestSuite

NASTY = 'p&ss "w<rd"/ü+%'

SUITE = """\
test_suite:
  name: S
  base_url: https://baseuser:base-password@api.example.com/v1
  variables: {TENANT: acme, PLAIN: visible, LISTED: listed-value, db_password: by-name-value,
              NESTED: "pre-${LISTED}"}
  secrets: [LISTED, GIVEN, FROM_ENV, NESTED, UNUSED]
  environments: {st: {variables: {TENANT: test}, defaults: {timeout: 90.5s}}}
  defaults: {timeout: 10s, headers: {X-Tenant: "${TENANT}"}, connect_timeout: 1500ms}
  tests:
    - name: First
      endpoint: /x?token=query-token&page=12345
      headers: {Authorization: "Basic dXNlcjpiYXNpYy1wYXNz", Cookie: "sid=cookie-value; theme=cookie-two",
        Accept: text/x}
      json: {a: "${PLAIN}", b: null, user: {password: json-password}, s: '1e3', o: '0o17', c: "$${x}",
        tokens: [json-token]}
      expect: {status: [200, 2xx], json: {"$.a": {min: 1}, "$.b": "no"}, body_matches: 'id-\\d+$$', max_time: 500ms}
      think_time: {min: 1, max: 2s}
      iterations: 1k
    - {name: Second, endpoint: "no/${FROM_ENV}", form: {client_secret: form-secret, b: yes},
       description: "costs $$5 $$${TENANT}"}
    - {name: Third, endpoint: "/${uuid()}", auth: {type: basic, username: "${U:-me}", password: "${file:pw}"}}
    - {name: Fourth, endpoint: "/${GIVEN}", auth: {type: bearer, token: bearer-token},
       params: {api_key: param-key, q: listed-value}}
    - {name: Fifth, endpoint: "/", headers: {X-Api-Key: "header-key", Authorization: "Bearer ${FROM_ENV}"},
       body: "x form-secret", think_time: {mean: 1s, distribution: exponential},
       duration: 1m, pacing: 250ms, ramp_up: 0s}
"""
SECRET = [
    "base-password",
    "listed-value",
    "by-name-value",
    "query-token",
    "dXNlcjpiYXNpYy1wYXNz",
    "basic-pass",
    "cookie-value",
    "cookie-two",
    "json-password",
    "json-token",
    "form-secret",
    "bearer-token",
    "param-key",
    "header-key",
    "from-environment",
    "given-value",
    NASTY,
]


@pytest.fixture
def suite(tmp_path):
    (tmp_path / "pw").write_text(NASTY + "\n")
    path = tmp_path / "suite.yaml"
    path.write_text(SUITE)
    return load_suite(
        path, env="st", variables={"GIVEN": "given-value"}, environ={"FROM_ENV": "from-environment"}
    )


@pytest.mark.parametrize("value", SECRET)
def test_every_secret_is_masked_in_text_however_it_is_encoded(suite, value):
    masker = Masker.for_suite(suite)
    forms = [
        value,
        quote(value, safe=""),
        quote(value),
        quote_plus(value),
        quote(value).replace("%C3", "%c3"),
        json.dumps(value)[1:-1],
        json.dumps(value, ensure_ascii=False)[1:-1],
        html.escape(value),
        base64.b64encode(value.encode()).decode(),
    ]
    for form in forms:
        masked = masker.text(f"<{form}>")
        assert form not in masked
        assert "***" in masked


def test_basic_credentials_are_masked_in_base64(suite):
    pair = base64.b64encode(f"me:{NASTY}".encode()).decode()
    assert Masker.for_suite(suite).text(f"Authorization: Basic {pair}") == "Authorization: Basic ***"


@pytest.mark.parametrize(
    ("endpoint", "base_url", "pair"),
    [
        ("http://bob:litURLPW@h/x", "", "bob:litURLPW"),
        ("/x", "http://bob:litURLPW@h", "bob:litURLPW"),
        ("http://b%20b:p%2Fq%40w+d@h/x", "", "b b:p/q@w+d"),
        ("http://apitoken@h/x", "", "apitoken:"),
        ("http://${U}:${P}@h/x", "", "bob:fromVariable"),
    ],
)
def test_the_credentials_of_a_url_are_masked_as_a_server_gets_them(endpoint, base_url, pair):
    suite = TestSuite(
        name="S",
        base_url=base_url,
        tests=[{"name": "A", "endpoint": endpoint}],
        variables={"U": "bob", "P": "fromVariable"},
    )
    header = base64.b64encode(pair.encode()).decode()
    assert Masker.for_suite(suite).text(f'{{"seen": "Basic {header}"}}') == '{"seen": "Basic ***"}'


def _go(text):
    """As Go's encoding/json writes it."""
    escaped = json.dumps(text, ensure_ascii=False)
    return escaped.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _php(text):
    """As PHP's json_encode writes it."""
    return json.dumps(text).replace("/", r"\/")


@pytest.mark.parametrize("outer", [json.dumps, lambda text: json.dumps(text, ensure_ascii=False), _go, _php])
@pytest.mark.parametrize("inner", [json.dumps, lambda text: json.dumps(text, ensure_ascii=False), _go, _php])
@pytest.mark.parametrize("secret", ['a+b/c"d é=', NASTY, "plain-secret", "back\\slash/<é>"])
def test_a_secret_in_json_inside_json_is_masked(secret, inner, outer):
    masker = Masker([secret])
    once, twice = outer({"b": secret}["b"]), outer(inner(secret))
    assert json.loads(once) == secret
    assert json.loads(json.loads(twice)) == secret
    assert masker.text(once) == '"***"'
    assert masker.text(twice) == r'"\"***\""'
    assert masker.text(re.sub(r"\\u[0-9a-f]{4}", lambda match: r"\u" + match[0][2:].upper(), once)) == '"***"'


NAMED = """\
test_suite:
  name: S
  base_url: http://h
  secrets: [PW, SHORT]
  variables: {PW: s3cret-value, SHORT: abc, LOUD: "${PW}"}
  tests:
    - {name: "Login ${LOUD}", endpoint: /}
    - {name: "Other abc", endpoint: /}
    - {name: "Third bearer-token", endpoint: /, auth: {type: bearer, token: bearer-token}}
    - {name: "Fourth", endpoint: /, body: "${file:key}"}
    - {name: "Fifth in-a-file", endpoint: /}
"""


def test_a_name_that_holds_a_secret_is_a_mistake_and_does_not_show_it(tmp_path):
    (tmp_path / "key").write_text("in-a-file\n")
    path = tmp_path / "suite.yaml"
    path.write_text(NAMED)
    with pytest.raises(SuiteError) as caught:
        load_suite(path, environ={})
    end = "; a name is written everywhere, so it cannot hold a secret; rename it"
    assert [mistake.removeprefix(str(path)) for mistake in caught.value.mistakes] == [
        f":7:8: tests[0].name: holds the value of the secret 'PW'{end}",
        f":11:8: tests[4].name: holds what ${{file:key}} holds{end}",
    ]


def test_the_name_of_a_suite_is_looked_at_too(monkeypatch):
    monkeypatch.setenv("PW", "s3cret-value")
    text = 'test_suite:\n  name: "My ${PW}"\n  base_url: http://h\n  secrets: [PW]\n  tests: [{name: A, endpoint: /}]\n'
    with pytest.raises(SuiteError, match=r"^stdin:2:3: name: holds the value of the secret 'PW'") as caught:
        load_suite("-", stdin=text.encode())
    made = TestSuite(
        name="My s3cret-value",
        base_url="http://h",
        secrets=["PW"],
        tests=[{"name": "s3cret-value", "endpoint": "/"}],
    )
    with pytest.raises(SuiteError) as checked:
        made.check()
    assert len(checked.value.mistakes) == 2
    assert "s3cret-value" not in f"{caught.value}{checked.value}"


def test_a_credential_may_hold_any_letters():
    case = {"name": "A", "endpoint": "http://h/", "headers": {"Authorization": "Bearer geheim-…-é"}}
    assert Masker.for_suite(TestSuite(name="S", tests=[case])).text("<geheim-…-é>") == "<***>"


def test_what_is_no_secret_stays(suite):
    text = "visible acme test First 12345 id-7 text/x user page"
    assert Masker.for_suite(suite).text(text) == text
    assert Masker.for_suite(TestSuite(name="S", tests=[{"name": "A", "endpoint": "/"}])).text(text) == text


def test_secret_names_are_looked_up_in_the_given_process_environment_too(suite):
    assert Masker.for_suite(suite, {"UNUSED": "twin-value"}).text("twin-value") == "***"


def test_of_several_secrets_the_longest_is_masked_first():
    assert Masker(["abcd", "abcdef"]).text("abcdef abcd") == "*** ***"


def test_very_short_values_are_masked_only_where_they_stand_alone():
    masker = Masker(["1", "abc"])
    assert masker.text("1 request, abc") == "1 request, abc"
    assert masker.headers({"X-Pin": "1"}) == {"X-Pin": "***"}
    assert masker.url("http://h/?pin=1&n=1") == "http://h/?pin=***&n=1"


def test_only_harmless_headers_show_their_value():
    masker = Masker(["s3cret"])
    assert masker.headers(
        {
            "Content-Type": "a/b",
            "X-Own": "x",
            "set-cookie": "a=b",
            "User-Agent": "u s3cret",
            "Location": "/l?token=abc",
        }
    ) == {
        "Content-Type": "a/b",
        "X-Own": "***",
        "set-cookie": "***",
        "User-Agent": "u ***",
        "Location": "/l?token=***",
    }


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://u:p@h/a", "https://***@h/a"),
        ("https://u@h:1/a?b=c", "https://***@h:1/a?b=c"),
        (
            "/a?access_token=x&b=1&X-Amz-Signature=y#id_token=z",
            "/a?access_token=***&b=1&X-Amz-Signature=***#id_token=***",
        ),
        ("/a?api%5Fkey=x", "/a?api%5Fkey=***"),
        ("/a?token=${TOKEN}&key=x${T}", "/a?token=${TOKEN}&key=***"),
        ("http://h/user@home?a=b", "http://h/user@home?a=b"),
    ],
)
def test_urls_are_masked_in_userinfo_and_secret_parameters(url, masked):
    assert Masker().url(url) == masked


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("password", True),
        ("X-Api-Key", True),
        ("accessToken", True),
        ("CLIENT_SECRET", True),
        ("key", True),
        ("sig", True),
        ("Ocp-Apim-Subscription-Key", True),
        ("JSESSIONID", True),
        ("monkey", False),
        ("design", False),
        ("page", False),
        ("keyboard", False),
        ("author", False),
        ("passenger", False),
    ],
)
def test_names_announce_secrets(name, secret):
    assert looks_secret(name) is secret


@pytest.mark.parametrize(
    ("text", "shows_nothing"),
    [
        ("${TOKEN}", True),
        ("Bearer ${TOKEN}", True),
        ("${file:a}${B}", True),
        ("${uuid()}", True),
        ("${randint(1, 5)}", True),
        ("Bearer ${choice(abc, def)}", False),
        ("Bearer abc", False),
        ("a${B}", False),
        ("${A:-secret}", False),
        ("", False),
        ("${", False),
    ],
)
def test_references_show_nothing(text, shows_nothing):
    assert only_references(text) is shows_nothing


def test_no_secret_is_in_the_effective_suite(suite):
    text = effective_suite(suite, Masker.for_suite(suite))
    for value in (*SECRET, "baseuser"):
        assert value not in text


def test_the_effective_suite_loads_again_and_is_the_same_but_for_what_is_masked(suite, tmp_path):
    text = effective_suite(suite, Masker.for_suite(suite))
    path = tmp_path / "effective.yaml"
    path.write_text(text)
    again = load_suite(path, environ={"FROM_ENV": "from-environment"})
    masked = {"endpoint", "headers", "json_body", "form", "auth", "params", "body", "iterations", "expect"}
    for before, after in zip(suite.tests, again.tests, strict=True):
        for name in set(type(before).model_fields) - masked:
            assert getattr(before, name) == getattr(after, name), name
        assert before.effective_iterations == after.effective_iterations
    first, second, third, *_ = again.tests
    assert first.timeout_s == 90.5
    assert first.json_body == {
        "a": "${PLAIN}",
        "b": None,
        "user": {"password": "***"},
        "s": "1e3",
        "o": "0o17",
        "c": "$${x}",
        "tokens": ["***"],
    }
    assert first.expect.status == suite.tests[0].expect.status
    assert first.expect.body_matches.pattern == r"id-\d+$"
    assert [check.wanted for check in first.expect.json_conditions] == [{"min": 1}, "no"]
    assert (second.form, second.description) == ({"client_secret": "***", "b": "yes"}, "costs $5 $test")
    assert third.auth.password == "${file:pw}"
    assert again.tests[4].headers["Authorization"] == "Bearer ${FROM_ENV}"
    assert again.variables["TENANT"] == "test"


def test_an_effective_suite_made_in_python_loads_again():
    suite = TestSuite(
        name="${not a template}",
        tests=[
            {
                "name": "A",
                "endpoint": "http://h/${B:-b}",
                "json": {"d": (1, 2.5), "t": "x: y\n- z\n"},
                "tags": {"a": "$$"},
            }
        ],
        variables={"B": 7},
    )
    again = load_suite("-", stdin=effective_suite(suite, Masker()).encode(), environ={})
    assert again.name == "${not a template}"
    assert again.tests[0].json_body == {"d": [1, 2.5], "t": "x: y\n- z\n"}
    assert again.tests[0].tags == {"a": "$$"}
    assert again.variables == {"B": 7}


def test_no_secret_is_in_a_repr(suite):
    shown = repr(suite) + repr(suite.tests[3].auth)
    assert not any(value in shown for value in SECRET)


def test_no_secret_is_in_a_mistake():
    text = """\
test_suite:
  name: S
  base_url: ftp://user:base-password@h/?token=query-token
  secrets: [LISTED]
  variables: {LISTED: listed-value}
  tests: [{name: A, endpoint: "ftp://u:endpoint-password@h", timeout: "${LISTED}", method: "${LISTED}"}]
"""
    with pytest.raises(SuiteError) as caught:
        load_suite("-", stdin=text.encode(), environ={})
    assert len(caught.value.mistakes) == 4
    assert not any(secret in str(caught.value) for secret in ("password", "query-token", "listed-value"))


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ('{"access_token":"abc","id":7}', '{"access_token":"***","id":7}'),
        ('{"user": {"password" : "a\\"b", "name": "Ada"}}', '{"user": {"password" : "***", "name": "Ada"}}'),
        ('{"session_id": "cut in two by the en', '{"session_id": "***'),
        ("user=ada&password=abc&page=2", "user=ada&password=***&page=2"),
        ('{"token": null, "tokens": 3}', '{"token": null, "tokens": 3}'),
        ("no field at all", "no field at all"),
    ],
)
def test_fields_of_an_answer_whose_names_announce_a_secret_are_masked(body, masked):
    assert Masker().answer(body) == masked
