"""`perfcore schema`: the JSON Schema of suite files (for editors that complete and check them), or of results."""

import argparse

import orjson

from perfcore.cli.messages import output, write_utf8
from perfcore.errors import ExitCode
from perfcore.report.result_schema import result_schema
from perfcore.suite.schema import json_schema


def run(options: argparse.Namespace) -> int:
    text = (
        result_schema()
        if options.result
        else orjson.dumps(json_schema(), option=orjson.OPT_INDENT_2).decode() + "\n"
    )
    with output() as stdout:
        write_utf8(stdout, text)
    return ExitCode.PASSED
