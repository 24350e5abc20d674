"""Where in a suite secrets are looked for, what of them is one, and how URLs that are none are read."""

import pytest

from perfcore.suite.command_words import given_values, masked_words
from perfcore.suite.masker import Masker
from perfcore.suite.secret_names import looks_secret, mask_userinfo
from perfcore.suite.secret_values import given_secrets, last_name, sent_secrets, url_secrets, written_secrets
from perfcore.suite.secrets import effective_suite
from perfcore.suite.template import Scope
from perfcore.suite.test_suite import TestSuite

HIDDEN = "hunter2-hidden"


def suite_of(variables=None, **test):
    return TestSuite(
        name="S",
        base_url="http://h",
        variables=variables or {},
        tests=[{"name": "A", "endpoint": "/", **test}],
    )


@pytest.mark.parametrize(
    "test",
    [
        {"headers": {"X-Api-Key": f"${{choice({HIDDEN}, other-one)}}"}},
        {"headers": {"X-Api-Key": f"${{choice(other-one, {HIDDEN})}}"}},
        {"headers": {"Authorization": f"Bearer ${{choice(a, b, c, {HIDDEN})}}"}},
        {"headers": {"X-Own": f"https://ada:{HIDDEN}@h2/"}},
        {"endpoint": f"/?access_token=${{choice(aaaa, {HIDDEN})}}"},
        {"endpoint": f"/a?password={HIDDEN}#x"},
        {"params": {"token": f"${{choice(aaaa, {HIDDEN})}}"}},
        {"params": {"next": f"/x?token={HIDDEN}"}},
        {"method": "POST", "body": f"a=1&password={HIDDEN}&b=2"},
        {"method": "POST", "body": f'{{"password": "{HIDDEN}"}}'},
        {"method": "POST", "body": f'{{"tokens": ["aaaa", "{HIDDEN}"]}}'},
        {"method": "POST", "body": f"<login><Password>{HIDDEN}</Password></login>"},
        {"method": "POST", "body": f"password=${{choice(aaaa, {HIDDEN})}}"},
        {"method": "POST", "json": {"deep": [{"pin_token": f"${{choice(aaaa, {HIDDEN})}}"}]}},
        {"method": "POST", "json": {"payload": f'{{"client_secret": "{HIDDEN}"}}'}},
        {"method": "POST", "json": "${OBJECT}"},
        {"method": "POST", "form": {"note": f"token={HIDDEN}"}},
        {"method": "POST", "multipart": {"fields": {"password": HIDDEN}}},
        {"auth": {"type": "digest", "username": "ada", "password": HIDDEN}},
        {
            "auth": {
                "type": "aws_sigv4",
                "access_key": HIDDEN,
                "secret_key": "x",
                "region": "r",
                "service": "s",
            }
        },
        {
            "auth": {
                "type": "aws_sigv4",
                "access_key": "x",
                "secret_key": HIDDEN,
                "region": "r",
                "service": "s",
            }
        },
        {"proxy": f"http://ada:{HIDDEN}@127.0.0.1:3128"},
        {"tags": {"session_token": HIDDEN}},
        {"expect": {"header": {"Set-Cookie": f"sid={HIDDEN}"}}},
        {"expect": {"header": {"X-Auth-Token": HIDDEN}}},
        {"expect": {"json": {"$.user.access_token": HIDDEN}}},
        {"expect": {"json": {"$['api_key'][0]": {"contains": HIDDEN}}}},
        {"expect": {"body_contains": f'"password":"{HIDDEN}"'}},
    ],
)
def test_a_value_in_the_place_of_a_secret_is_masked_everywhere(test):
    suite = suite_of({"OBJECT": {"password": HIDDEN}}, **test)
    masker = Masker.for_suite(suite)
    assert masker.text(f"somebody said {HIDDEN}.") == "somebody said ***."
    assert HIDDEN not in effective_suite(suite, masker)


def test_a_choice_inside_a_variable_is_looked_through():
    suite = suite_of({"EITHER": f"${{choice(aaaa, {HIDDEN})}}"}, headers={"X-Api-Key": "k-${EITHER}"})
    assert Masker.for_suite(suite).text(HIDDEN) == "***"


def test_a_number_in_the_place_of_a_secret_is_one():
    suite = suite_of(method="POST", json={"pin": 90210555, "port": 8080})
    assert Masker.for_suite(suite).text("90210555 8080") == "*** 8080"


def test_a_used_variable_of_the_environment_is_secret_by_its_name(monkeypatch):
    monkeypatch.setenv("DEPLOY_TOKEN", HIDDEN)
    monkeypatch.setenv("OTHER_TOKEN", "not-used-by-it")
    suite = suite_of(endpoint="/x/${DEPLOY_TOKEN}")
    assert Masker.for_suite(suite).text(f"{HIDDEN} not-used-by-it") == "*** not-used-by-it"


def test_user_names_regions_and_tenants_are_no_secrets():
    suite = suite_of(
        {"TENANT": "acme-inc"},
        headers={"X-Tenant": "${TENANT}"},
        tags={"team": "checkout"},
        auth={
            "type": "aws_sigv4",
            "access_key": "aaaaaa",
            "secret_key": "bbbbbb",
            "region": "eu-west-1",
            "service": "s3",
        },
    )
    text = "acme-inc checkout eu-west-1"
    assert Masker.for_suite(suite).text(text) == text


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("http://u:p/w@h/x", "http://***@h/x"),
        ("http://u:p?w@h/x", "http://***@h/x"),
        ("http://u:p#w@h/x", "http://***@h/x"),
        ("http://u:p@w@h/x", "http://***@h/x"),
        ("http://u:p@w/q@h/x", "http://***@h/x"),
        ("http://u:p@h/?mail=a@b.c", "http://***@h/?mail=a@b.c"),
        ("http://h:80/users/me@home", "http://h:80/users/me@home"),
        ("http://[::1]:80/me@home", "http://[::1]:80/me@home"),
        ("http://h/a@b", "http://h/a@b"),
        ("see http://u:p@h/, or http://v:w@k.", "see http://***@h/, or http://***@k."),
        (r'{"at":"http:\/\/u:p@h\/x"}', r'{"at":"http:\/\/***@h\/x"}'),
        ("socks5h://u:p@h:1", "socks5h://***@h:1"),
        ("nobody@example.com", "nobody@example.com"),
    ],
)
def test_user_and_password_of_a_url_are_masked_even_where_they_make_it_none(url, masked):
    assert mask_userinfo(url) == masked


def test_the_pieces_of_a_password_that_makes_no_url_are_secrets():
    # Whoever reads it takes `half` for the host.
    values = set(url_secrets("http://u:first@half/other@h/x"))
    assert {"first@half/other", "first", "half", "other"} <= values


def test_what_a_server_gives_is_secret_for_as_long_as_it_is_looked_at():
    headers = {
        "set-cookie": 'sid=abc123; Expires=Wed, 21 Oct 2099 07:28:00 GMT; Path=/, theme="dark-9"; HttpOnly, c=d=e',
        "location": "/next?access_token=tok-1&x=1",
        "x-csrf-token": "csrf-1",
        "etag": '"harmless"',
        "server": "s",
    }
    assert set(given_secrets(headers)) == {"abc123", "dark-9", "d=e", "tok-1", "csrf-1"}


def test_what_was_sent_is_secret_by_the_names_it_has():
    lines = ["Authorization: Bearer tok-2", "Cookie: sid=abc; a=b", "X-Tenant: acme", "Accept: */*"]
    found = set(sent_secrets(lines, "http://u:pw@h/?token=tok-3&x=1", '{"password":"pw-2","n":"o"}'))
    assert {"tok-2", "abc", "b", "pw", "tok-3", "pw-2"} <= found
    assert not found & {"acme", "*/*", "o", "1"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("$.user.token", "token"),
        ("$['api_key'][0]", "api_key"),
        ("$.tokens[*]", "tokens"),
        ("$[0]", ""),
        ("", ""),
    ],
)
def test_a_jsonpath_is_named_by_its_last_name(path, name):
    assert last_name(path) == name


@pytest.mark.parametrize(
    "suite",
    [
        {"tests": [{"auth": f"Bearer {HIDDEN}", "password": HIDDEN}]},
        {"tests": [{"headers": f"Authorization: Bearer {HIDDEN}"}]},
        {"tests": [{"headers": [f"X-Api-Key: {HIDDEN}"]}]},
        {"tests": [{"auth": {"type": "basic", "pasword": "x", "token": HIDDEN}}]},
        {"tests": [{"timeout": {"secret": HIDDEN}}]},
        {
            "tests": [
                {"endpoint": f"http://u:{HIDDEN}@h", "headers": {"X-Api-Key": f"${{choice(a, {HIDDEN})}}"}}
            ]
        },
        {"base_url": f"ftp://u:{HIDDEN}@h"},
        {"tags": {"token": HIDDEN}, "tests": "none"},
        {"defaults": {"params": {"api_key": HIDDEN}}},
        {"tests": [{"expect": {"json": {"$.token": HIDDEN}}}]},
        {"tests": [None, 7, {"json": {"password": [HIDDEN]}}], "secrets": "no list"},
    ],
)
def test_a_suite_that_is_wrong_anywhere_still_tells_its_secrets(suite):
    assert Masker(written_secrets(suite, Scope())).text(f"'{HIDDEN}' is wrong") == "'***' is wrong"


def test_the_kind_of_authentication_and_the_user_are_no_secrets_of_a_suite_that_is_wrong():
    suite = {"tests": [{"auth": {"type": "basic", "username": "adalovelace", "password": HIDDEN}}]}
    masker = Masker(written_secrets(suite, Scope()))
    assert masker.text(f"basic adalovelace {HIDDEN}") == "basic adalovelace ***"


def test_conditions_that_say_nothing_of_a_secret_stay_in_the_effective_suite():
    suite = suite_of(expect={"json": {"$.token": {"length": 36, "matches": HIDDEN}, "$.n": {"min": 3}}})
    text = effective_suite(suite, Masker.for_suite(suite))
    assert "length: 36" in text
    assert "min: 3" in text
    assert HIDDEN not in text


def test_tags_are_masked_by_name_and_by_value():
    masker = Masker([HIDDEN], names=["OWNER"])
    tags = {"token": "abc", "OWNER": "me", "note": f"has {HIDDEN}", "team": "shop"}
    assert masker.tags(tags) == {"token": "***", "OWNER": "***", "note": "has ***", "team": "shop"}


@pytest.mark.parametrize(
    ("words", "masked"),
    [
        (["--var", "TOKEN=a", "--var", "TENANT=b"], ["--var", "TOKEN=***", "--var", "TENANT=b"]),
        (
            ["--var=TOKEN=a", "--var=MINE=b=c", "--tag=key=d"],
            ["--var=TOKEN=***", "--var=MINE=***", "--tag=key=***"],
        ),
        (["--var", "TOKEN=", "--var", "--var"], ["--var", "TOKEN=", "--var", "***"]),
        (["--only", "TOKEN=a", "s.yaml"], ["--only", "TOKEN=a", "s.yaml"]),
        (["http://u:p@h/?token=x"], ["http://***@h/?token=***"]),
        (["--var", "forgotten-equals"], ["--var", "***"]),
    ],
)
def test_a_command_line_shows_no_value_of_a_secret_name(words, masked):
    assert Masker(names=["MINE"]).command_line(words) == masked


def test_before_the_suite_is_read_the_values_of_all_pairs_are_hidden():
    words = ["perfcore", "s.yaml", "--var", "TENANT=acme", "--var=A=b", "--json"]
    assert (
        " ".join(masked_words(words, lambda name: True))
        == "perfcore s.yaml --var TENANT=*** --var=A=*** --json"
    )
    assert list(given_values(words, "C=d\nE=f")) == ["acme", "b", "d", "f"]


@pytest.mark.parametrize(
    ("body", "masked"),
    [
        ('{"Authorization":["Bearer abc"],"n":["x"]}', '{"Authorization":["***"],"n":["x"]}'),
        ('{"tokens": ["a", "b\\"c", "cut', '{"tokens": ["***", "***", "***'),
        (
            '"{\\"password\\": \\"abc\\", \\"n\\": \\"x\\"}"',
            '"{\\"password\\": \\"***\\", \\"n\\": \\"x\\"}"',
        ),
        ("{'token': 'abc', 'n': 'x'}", "{'token': '***', 'n': 'x'}"),
        ("<ns:apiKey a='1'>abc</ns:apiKey><n>x</n>", "<ns:apiKey a='1'>***</ns:apiKey><n>x</n>"),
        ("api%5Fkey=abc&n=x", "api%5Fkey=***&n=x"),
        ("password=${PASSWORD}&n=x", "password=${PASSWORD}&n=x"),
        ("at http://u:p@h/", "at http://***@h/"),
    ],
)
def test_fields_that_announce_a_secret_are_masked_in_what_a_server_says(body, masked):
    assert Masker().answer(body) == masked


def test_a_field_is_secret_in_every_way_of_writing_its_name():
    assert all(
        map(looks_secret, ("Password", "client-secret", "xsrfToken", "API_KEY", "Proxy-Authorization"))
    )
