import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfcore.report.json_report import result_json

from .documents import suite_document

NO_CONSTANT = {"parse_constant": lambda name: pytest.fail(f"{name} is not JSON")}


def test_the_document_comes_back_as_it_was_with_its_keys_in_order():
    document = suite_document()
    again = json.loads(result_json(document))
    assert again == document
    assert list(again) == list(document)


def test_it_is_indented_and_ends_with_one_newline():
    assert result_json({"a": {"b": 1}}) == b'{\n  "a": {\n    "b": 1\n  }\n}\n'


@given(st.recursive(st.floats(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_neither_nan_nor_infinity_is_ever_written(value):
    json.loads(result_json({"value": value}), **NO_CONSTANT)


def test_nan_and_infinity_become_null():
    document = {"a": math.nan, "b": [math.inf, -math.inf]}
    assert json.loads(result_json(document), **NO_CONSTANT) == {"a": None, "b": [None, None]}


def test_what_json_cannot_say_is_written_as_near_as_it_goes():
    odd = {
        "text": "a\udcffb",
        "big": 2**70,
        "path": Path("/x"),
        200: "number as a key",
        "set": {1},
        "yes": True,
    }
    again = json.loads(result_json(odd))
    assert again == {
        "text": r"a\udcffb",
        "big": str(2**70),
        "path": "/x",
        "200": "number as a key",
        "set": [1],
        "yes": True,
    }
