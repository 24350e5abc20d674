"""YAML to plain data with places."""

import math

import pytest

from perfcore.suite.yaml_document import Place, UnreadableError, core_value, read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("7", 7),
        ("-0x1F", "-0x1F"),
        ("0x1F", 31),
        ("0o17", 15),
        ("007", 7),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", -math.inf),
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("2024-12-02", "2024-12-02"),
        ("1_000", "1_000"),
        ("=", "="),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text, value):
    assert core_value(text) == value
    assert type(core_value(text)) is type(value)


def test_quoted_scalars_are_text():
    assert read_yaml("a: '7'\nb: \"true\"\nc: |\n  1\n").data == {"a": "7", "b": "true", "c": "1\n"}


def test_every_key_and_item_has_its_place():
    document = read_yaml("a:\n  - b: 1\n    c: [x, y]\n  - d\n")
    assert document.places[("a",)] == Place(1, 1)
    assert document.places[("a", 0)] == Place(2, 5)
    assert document.places[("a", 0, "c")] == Place(3, 5)
    assert document.places[("a", 0, "c", 1)] == Place(3, 12)
    assert document.place_of(("a", 1, "absent", 3)) == Place(4, 5)


def test_the_spelling_of_numbers_and_booleans_is_kept():
    assert read_yaml("a: [1.10, True, x, '2']").spellings == {("a", 0): "1.10", ("a", 1): "True"}


def test_a_key_that_is_given_twice_is_told_and_the_first_counts():
    document = read_yaml("a: 1\nb: 2\na: {c: 3}\n")
    ((place, mistake),) = document.mistakes
    assert document.data == {"a": 1, "b": 2}
    assert (place, mistake.text) == (Place(3, 1), "is given twice, first on line 1; remove one of them")


def test_anchors_and_merge_keys_work():
    document = read_yaml("a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\nd: {<<: [*a, {z: 4}]}\n'<<': 5\n")
    assert document.data == {
        "a": {"x": 1, "y": 2},
        "b": {"x": 1, "y": 2},
        "c": {"x": 1, "y": 3},
        "d": {"x": 1, "y": 2, "z": 4},
        "<<": 5,
    }
    assert document.mistakes == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: !!python/object/apply:os.system [ls]",
            "the tag 'tag:yaml.org,2002:python/object/apply:os.system' is not",
        ),
        ("a: !x 1", "the tag '!x' is not supported"),
        ("a: !!str 1", "the tag 'tag:yaml.org,2002:str' is not supported"),
        ("a: *b", "*b stands for nothing; there is no &b before it"),
        ("{a: 1}: 2", "a key must be text"),
        ("{{X}}: 2", "a key must be text"),
        ("a: {<<: 3}", "<< merges mappings only"),
    ],
)
def test_what_plain_data_does_not_need_is_told(text, told):
    assert any(told in mistake.text for _, mistake in read_yaml(text).mistakes)


BOMB = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"a{n}: &a{n} [{','.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("a: [1, 2", (2, 1), "is not YAML: did not find expected ',' or ']'"),
        ("a:\n\tb: 1", (2, 1), "indent with spaces, not tabs"),
        ("a: {b: ${X}}", (1, 9), "inside { } and [ ], put ${…} in quotes"),
        ("a: @b", (1, 4), "put the value in quotes"),
        ("a: b\x07", (1, 5), "the control character 0x07 is not text"),
        ("a: b\n c\x85: \x9b", (3, 3), "the control character 0x9b is not text"),
        ("a: 1\n---\nb: 2", (2, 1), "starts a second document"),
        ("a: &a [*a]", (1, 8), "*a stands inside what it stands for"),
        ("[" * 100_000, (1, 101), "is nested more than 100 deep"),
        (
            "a:\n" + "".join(" " * n + f"a{n}:\n" for n in range(1, 200)),
            (101, 101),
            "is nested more than 100 deep",
        ),
        (BOMB, None, "the file comes to more than 100,000 values, aliases expanded"),
        ("[" + "1," * 200_000 + "]", None, "the file comes to more than 100,000 values"),
        ("".join(f"a{n}: 1\n" for n in range(30_001)), (30_001, 1), "has more than 30,000 keys"),
    ],
)
def test_reading_stops_at_what_cannot_be_read(text, place, told):
    with pytest.raises(UnreadableError) as caught:
        read_yaml(text)
    assert told in caught.value.mistake.text
    assert place is None or caught.value.place == place
