"""The effective suite of every request option and limit loads again as what it was."""

import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfcore.suite.config_loader import load_suite
from perfcore.suite.secrets import Masker, effective_suite
from perfcore.suite.test_suite import TestSuite

KINDS = ["connect", "timeout", "reset", "closed", "tls", "dns", 502, "5xx", "201-204", 404]
ADDRESSES = st.ip_addresses().filter(lambda address: "%" not in str(address)).map(str)
HOSTS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=9)
TEXTS = st.text(string.printable, max_size=9).map(lambda text: text.replace("$", "$$"))
DURATIONS = st.one_of(st.integers(1, 10**6), st.floats(0.001, 10**4))


def unique(names):
    return len({name.lower() for name in names}) == len(names)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "cookies": st.booleans(),
        "follow_redirects": st.booleans(),
        "max_redirects": st.integers(0, 1000),
        "compressed": st.booleans(),
        "trace": st.sampled_from(["w3c", None]),
        "retries": st.integers(0, 100),
        "retry_on": st.lists(st.sampled_from(KINDS), min_size=1),
        "retry_backoff": st.one_of(st.just(0), DURATIONS),
        "http_version": st.sampled_from(["auto", "1.1", 1.1, "2", 2, "2-prior-knowledge"]),
        "local_addresses": st.lists(ADDRESSES, unique=True, max_size=3),
        "multipart": st.fixed_dictionaries(
            {
                # A value under a name that announces a secret is masked, and so not what it was.
                "fields": st.dictionaries(
                    TEXTS.filter(lambda name: not Masker().announces(name)),
                    st.one_of(TEXTS, st.lists(TEXTS)),
                    min_size=1,
                ),
                "files": st.dictionaries(TEXTS, st.just(__file__), max_size=2),
            }
        ),
    },
)
WAYS = st.one_of(
    st.fixed_dictionaries({"proxy": st.sampled_from(["http://p:1", "socks5h://[::1]:2", ""])}),
    st.fixed_dictionaries(
        {"resolve": st.dictionaries(HOSTS, ADDRESSES, max_size=3).filter(unique)},
        optional={
            "dns": st.fixed_dictionaries({"select": st.sampled_from(["first", "random", "round_robin"])})
        },
    ),
    st.just({"http_version": "3"}),
    st.fixed_dictionaries(
        {"preconnect": st.just(True)},
        optional={"http_version": st.sampled_from(["2", "3"])},
    ),
)
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "max_rate": st.one_of(
            st.integers(1, 10**9), st.floats(1e-9, 1e9), st.sampled_from(["3k/m", "0.5/h"])
        ),
        "max_users": st.integers(1, 10**6),
        "max_duration": DURATIONS,
        "abort_on_error_rate": st.one_of(st.integers(1, 100), st.decimals("0.001", 100, places=3))
        .filter(lambda percent: percent > 0)
        .map(lambda percent: f"{percent}%"),
    },
)


def again(suite):
    return load_suite("-", stdin=effective_suite(suite, Masker()).encode(), environ={})


@settings(deadline=None)
@given(OPTIONS, WAYS, LIMITS)
def test_options_and_limits_load_again_as_what_they_were(options, way, limits):
    test = {"name": "A", "endpoint": "/", **options, **way}
    suite = TestSuite(name="S", base_url="https://h", tests=[test], limits=limits)
    loaded = again(suite)
    for name in set(type(suite.tests[0]).model_fields) - {"iterations"}:  # told even when it is the default
        assert getattr(loaded.tests[0], name) == getattr(suite.tests[0], name), name
    assert loaded.limits == suite.limits


def made(**keys):
    return TestSuite(
        name="S",
        base_url="http://h",
        tests=[{"name": "A", "endpoint": "/", **keys}],
        variables={"U": "user-of-variables", "P": "password-of-variables"},
    )


@pytest.mark.parametrize(
    "auth",
    [
        {"type": "digest", "username": "${U}", "password": "${P}"},
        {"type": "ntlm", "username": "${U}", "password": "${P}"},
        {"type": "negotiate"},
        {"type": "negotiate", "username": "${U}", "password": "${P}"},
        {"type": "aws_sigv4", "access_key": "${U}", "secret_key": "${P}", "region": "eu-1", "service": "s3"},
    ],
)
def test_every_auth_loads_again_when_its_secrets_are_references(auth):
    suite = made(auth=auth)
    assert again(suite).tests[0].auth == suite.tests[0].auth


def test_keys_of_a_signature_are_masked_and_its_region_is_not():
    auth = {"type": "aws_sigv4", "access_key": "AKIAEXAMPLE", "secret_key": "wJalrXUtnFEMI", "region": "eu-1"}
    suite = made(auth={**auth, "service": "s3"})
    masker = Masker.for_suite(suite)
    text = effective_suite(suite, masker)
    assert "AKIAEXAMPLE" not in text
    assert "wJalrXUtnFEMI" not in text
    assert load_suite("-", stdin=text.encode(), environ={}).tests[0].auth.region == "eu-1"
    assert masker.text("s3 in eu-1") == "s3 in eu-1"


def test_the_password_of_a_proxy_is_masked_and_the_rest_loads_again():
    suite = made(proxy="http://me:hush-hush@proxy:3128")
    text = effective_suite(suite, Masker.for_suite(suite))
    assert "hush-hush" not in text
    assert load_suite("-", stdin=text.encode(), environ={}).tests[0].proxy == "http://***@proxy:3128"


def test_secret_fields_of_a_form_with_files_are_masked():
    suite = made(multipart={"fields": {"password": "hush-hush", "page": "1"}, "files": {"f": __file__}})
    masker = Masker.for_suite(suite)
    multipart = load_suite("-", stdin=effective_suite(suite, masker).encode(), environ={}).tests[0].multipart
    assert multipart.fields == {"password": ("***",), "page": ("1",)}
    assert multipart.files == {"f": (Path(__file__),)}
    assert masker.text("hush-hush") == "***"
