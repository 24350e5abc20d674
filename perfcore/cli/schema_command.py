"""`perfcore schema`: the JSON Schema of suite files, for editors that complete and check them."""

import argparse

import orjson

from perfcore.cli.messages import output
from perfcore.errors import ExitCode
from perfcore.suite.schema import json_schema


def run(_options: argparse.Namespace) -> int:
    with output() as stdout:
        stdout.write(orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode() + "\n")
    return ExitCode.PASSED
