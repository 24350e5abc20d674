"""`perfcore validate SUITE…`: every mistake of every file, or a line that it is right."""

import argparse

from perfcore.cli.messages import output, tell, warn
from perfcore.engine.libcurl_features import lacks
from perfcore.errors import ExitCode, SuiteError
from perfcore.suite.config_loader import load_suite


def run(options: argparse.Namespace) -> int:
    code = ExitCode.PASSED
    for path in options.suite:
        try:
            suite = load_suite(path, env=options.env, variables=dict(options.var), lacks=lacks)
        except SuiteError as error:
            tell(error)
            code = ExitCode.WRONG_SUITE
        else:
            for warning in suite.warnings():
                warn(f"{path}: {warning}")
            tests = len(suite.tests)
            with output() as stdout:
                print(f"{path}: right, {tests} test{'s' if tests != 1 else ''}", file=stdout)
    return code
