"""`perfcore target`: the embedded target server in the foreground."""

import argparse

from perfcore.target.command import run as serve


def run(options: argparse.Namespace) -> int:
    return serve(options)
