"""The `${…}` language."""

import json
import random
import re
import uuid
from types import SimpleNamespace

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.suite.template import JsonTemplateError, Scope, TemplateError, compile_json, compile_text
from perfcore.suite.template_syntax import escaped, parse


def context(seed=1, user=3, iteration=9, **variables):
    return SimpleNamespace(user=user, iteration=iteration, random=random.Random(seed), variables=variables)


SCOPE = Scope(
    given={"GIVEN": "from --var", "BOTH": "given"},
    environment={"BOTH": "environment", "ENV": "environment"},
    suite={
        "BOTH": "suite",
        "ENV": "suite",
        "N": 5,
        "F": 1.5,
        "YES": True,
        "NIL": None,
        "L": [1, "${N}"],
        "EMPTY": "",
    },
    environ={"BOTH": "process", "HOME": "/root", "RAW": "${N} $$"},
)


@pytest.mark.parametrize(
    ("text", "constant"),
    [
        ("plain", "plain"),
        ("", ""),
        ("${GIVEN}", "from --var"),
        ("${BOTH} ${ENV} ${HOME}", "given environment /root"),
        ("${N}/${F}/${YES}/${NIL}/${L}", "5/1.5/true//[1,5]"),
        ("${NOPE:-default}", "default"),
        ("${NOPE:-}", ""),
        ("${N:-default}", "5"),
        ("${EMPTY:-default}", "default"),
        ("${NOPE:-${N}}-${NOPE:-a b:-c}", "5-a b:-c"),
        ("$$ $5 $", "$ $5 $"),
        ("$${N}", "${N}"),
        ("$$$${N}", "$${N}"),
        ("cost: $$${N}", "cost: $5"),
        ("${RAW}", "${N} $$"),
    ],
)
def test_what_is_known_at_load_becomes_text(text, constant):
    template = compile_text(text, SCOPE)
    assert template.constant == constant
    assert template.render(context()) == constant


@pytest.mark.parametrize(
    ("text", "value"),
    [("${N}", 5), ("${YES}", True), ("${NIL}", None), ("${L}", [1, 5]), ("n=${N}", "n=5"), ("${user()}", 3)],
)
def test_a_text_that_is_exactly_one_reference_has_the_values_own_type(text, value):
    assert compile_text(text, SCOPE).value(context()) == value


def test_functions_are_evaluated_per_request():
    template = compile_text("${user()}-${iteration()}-${randint(1, 3)}-${choice(a, 'b, c', 7)}", SCOPE)
    assert template.constant is None
    seen = {template.render(context(seed)) for seed in range(100)}
    assert seen == {f"3-9-{n}-{word}" for n in (1, 2, 3) for word in ("a", "b, c", "7")}


def test_chance_comes_from_the_seed_alone():
    template = compile_text("${uuid()} ${randint(1, 1000000)} ${choice(1,2,3,4,5)}", SCOPE)
    assert template.render(context(7)) == template.render(context(7))
    assert template.render(context(7)) != template.render(context(8))


def test_uuid_is_a_valid_version_4_uuid():
    for seed in range(50):
        made = uuid.UUID(compile_text("${uuid()}", SCOPE).render(context(seed)))
        assert (made.version, made.variant) == (4, uuid.RFC_4122)


def test_times_have_their_documented_form(monkeypatch):
    monkeypatch.setattr("perfcore.suite.template_functions.time.time", lambda: 1733133600.9)
    assert compile_text("${timestamp()}", SCOPE).value(context()) == 1733133600
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", compile_text("${isotime()}", SCOPE).render(context())
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "${TOKEN}",
            "'TOKEN' is not set; give --var TOKEN=…, the environment variable TOKEN, or variables: in the",
        ),
        ("${GIVN}", "; did you mean 'GIVEN'?"),
        ("${uuid}", "'uuid' is not set; the function is written ${uuid()}"),
        ("${GIVEN", "'${GIVEN' has no closing }; a dollar sign before { is written $$"),
        ("${}", "'${}' is neither ${NAME}"),
        ("${a b}", "'${a b}' is neither ${NAME}"),
        ("${uid()}", "there is no function 'uid'; did you mean 'uuid'?"),
        ("${nope()}", "there is no function 'nope'; the functions are uuid, randint, choice"),
        ("${uuid(1)}", "uuid takes no arguments, got 1; write ${uuid()}"),
        ("${randint(1)}", "randint takes two whole numbers, such as ${randint(1, 100)}"),
        ("${randint(a, b)}", "randint takes two whole numbers"),
        ("${randint(2, 1)}", "randint(2, 1): the first number is the lower one"),
        ("${choice()}", "choice takes the values to choose from"),
        ("${choice(a,,b)}", "has an empty argument; write ''"),
        ("${choice('a' 'b')}", "are not separated by commas"),
        ("${file:}", "${file:} has no path"),
        ("${file:/nowhere/x}", "'/nowhere/x' cannot be read: No such file"),
        ("${file:/}", "'/' is not a regular file"),
        ("${file:/dev/zero}", "'/dev/zero' is not a regular file"),
    ],
)
def test_a_wrong_template_says_what_would_be_right(text, problem):
    with pytest.raises(TemplateError) as caught:
        compile_text(text, SCOPE)
    assert problem in str(caught.value)


def test_all_names_that_are_missing_are_told_at_once():
    with pytest.raises(TemplateError) as caught:
        compile_text("${A1} ${B1} ${uid()}", SCOPE)
    assert len(caught.value.problems) == 3


def test_variables_may_refer_to_others_and_to_functions():
    scope = Scope(suite={"A": "a${B}", "B": "b${user()}", "C": {"x": ["${B}", 1]}}, environ={})
    assert compile_text("${A}", scope).render(context()) == "ab3"
    assert compile_json("${C}", scope).render(context()) == b'{"x":["b3",1]}'


def test_a_circle_of_variables_is_named():
    scope = Scope(suite={"A": "${B}", "B": "${C}", "C": "x${A}"})
    with pytest.raises(TemplateError, match="'A' refers to itself: A → B → C → A"):
        compile_text("${A}", scope)


def test_a_value_that_differs_per_request_is_no_value_at_load():
    scope = Scope(suite={"A": "${uuid()}", "N": 3})
    assert scope.lookup("N") == 3
    assert scope.fixed("${N}") == 3
    with pytest.raises(TemplateError, match="different for each request"):
        scope.lookup("A")
    with pytest.raises(TemplateError, match="different for each request"):
        scope.fixed("x${A}")
    with pytest.raises(TemplateError, match="'Q' is not set"):
        scope.lookup("Q")


def test_a_file_is_read_from_the_suites_directory_without_its_last_line_break(tmp_path):
    (tmp_path / "token").write_text("s3cret\n")
    scope = Scope(directory=tmp_path)
    assert compile_text("Bearer ${file:token}", scope).constant == "Bearer s3cret"
    assert scope.used_files == {"token": "s3cret"}


def test_what_a_file_holds_must_be_a_little_text(tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (1 << 20) + b"x")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name, reason in (("big", "larger than 1 MiB"), ("binary", "not UTF-8")):
        with pytest.raises(TemplateError, match=reason):
            compile_text(f"${{file:{name}}}", Scope(directory=tmp_path))


def test_what_was_taken_from_the_process_environment_is_remembered():
    scope = Scope(environ={"USED": "1", "UNUSED": "2"})
    compile_text("${USED} ${MISSING:-x}", scope)
    assert scope.used_environ == {"USED": "1"}


def test_a_users_own_values_come_first_and_may_fall_back():
    dynamic = frozenset({"N", "token"})
    template = compile_text("${N} ${token:-none}", SCOPE, dynamic)
    assert template.render(context(N=7, token="t")) == "7 t"
    assert template.render(context()) == "5 none"
    with pytest.raises(TemplateError, match="'token' has no value yet"):
        compile_text("${token}", SCOPE, dynamic).render(context())


def test_constant_json_is_serialised_once():
    template = compile_json({"a": [1, "${N}", "x${N}", None, True], "${GIVEN}": 2**70}, SCOPE)
    assert template.constant == b'{"a":[1,5,"x5",null,true],"from --var":1180591620717411303424}'


def test_json_is_joined_around_what_differs_per_request():
    template = compile_json(
        {"n": "${randint(5, 5)}", "t": "u${user()}", "k": [{"${user()}": "${choice('1')}"}]}, SCOPE
    )
    assert template.constant is None
    assert template.render(context()) == b'{"n":5,"t":"u3","k":[{"3":"1"}]}'


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), "\ud800"])
def test_what_json_cannot_hold_is_a_mistake_with_its_place(value):
    with pytest.raises(JsonTemplateError) as caught:
        compile_json({"a": [0, value]}, SCOPE)
    assert caught.value.placed[0][0] == ("a", 1)


def test_json_that_holds_itself_is_a_mistake():
    value: list[object] = []
    value.append(value)
    with pytest.raises(TemplateError, match="nested too deep"):
        compile_json(value, SCOPE)


plain_json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$")),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="$")), inner)
    ),
    max_leaves=20,
)


@given(plain_json)
def test_json_without_references_is_what_orjson_writes(value):
    assert compile_json(value, SCOPE).constant == orjson.dumps(value)


@given(st.lists(plain_json, max_size=5))
def test_json_with_holes_is_still_json(values):
    rendered = compile_json(
        [["${user()}", value, {"${iteration()}": value}] for value in values], SCOPE
    ).render(context())
    assert json.loads(rendered) == [[3, value, {"9": value}] for value in values]


@given(st.text())
def test_escaped_text_is_the_text_itself(text):
    assert compile_text(escaped(text), Scope()).constant == text


@given(st.text(alphabet="${}:-()'\", abAB_1\n"))
def test_any_text_compiles_or_is_a_template_error(text):
    try:
        template = compile_text(text, SCOPE)
    except TemplateError:
        return
    assert isinstance(template.render(context()), str)


def test_deep_defaults_are_a_mistake_not_a_crash():
    with pytest.raises(TemplateError, match="nested too deep"):
        compile_text("${A:-" * 5000 + "}" * 5000, Scope())


def test_neighbouring_text_is_one_part():
    assert parse("a$$b$c") == ("a$b$c",)


def test_a_value_that_is_not_utf_8_is_a_mistake_that_names_the_variable():
    broken = b"caf\xe9".decode("utf-8", "surrogateescape")
    for scope, what in (
        (Scope(environ={"CITY": broken}), "the environment variable CITY"),
        (Scope(given={"CITY": broken}), "--var CITY"),
    ):
        for ask in (scope.lookup, lambda name, scope=scope: compile_text(f"${{{name}:-x}}", scope)):
            with pytest.raises(TemplateError, match=f"^{what} is not UTF-8 text$"):
                ask("CITY")
    assert Scope(environ={"CITY": "café 🏙"}).lookup("CITY") == "café 🏙"


def test_a_long_chain_of_variables_is_a_mistake_and_no_recursion_error():
    chain = {f"V{n}": f"${{V{n + 1}}}" for n in range(3000)}
    with pytest.raises(TemplateError, match="nested in more than"):
        compile_text("${V0}", Scope(suite={**chain, "V3000": "end"}))


def test_variables_that_multiply_each_other_stop_at_a_bound():
    bomb = {f"V{n}": f"${{V{n + 1}}}" * 10 for n in range(12)}
    with pytest.raises(TemplateError, match="larger than 10 MB"):
        compile_text("${V0}", Scope(suite={**bomb, "V12": "fifteen letters"}))
