"""The arguments of the target and what they start; `perfcore target` takes both from here.

Importing this costs argparse and nothing else: the server is imported when it runs.
"""

import argparse
import ctypes
import os
import signal
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from perfcore.errors import ExitCode, PerfcoreError, UsageError

_PR_SET_PDEATHSIG = 1
_DEFAULT_HOST = "127.0.0.1"
_DEFAULT_PORT = 8080

# What `routes` answers, for --help; here, because importing that costs more than argparse.
ROUTES_HELP: Mapping[str, str] = {
    "/health": '{"status": "ok"}',
    "/users, /users/ID": "GET, POST, PUT, PATCH, DELETE: JSON objects that follow from their id",
    "/echo": "the request as it arrived; ?response_header=Name:value adds a header",
    "/delay/MS": "answers after so many milliseconds",
    "/truth?delay_ms=MS": "answers how long it held the request, in nanoseconds since the kernel had it",
    "/truth/held": "what /truth and /stall held: count, p50 to p99_9, max; ?reset=1 begins anew after it",
    "/status/CODE": "that status, 100 to 599",
    "/bytes/N": "N bytes (10k, 1M) with a Content-Length",
    "/chunked/N?chunk=N": "N bytes in chunks",
    "/gzip?size=N": "JSON of N bytes, compressed if the client accepts it; ?broken=1 sends no gzip",
    "/deflate?size=N": "the same with deflate",
    "/upload": "POST: how many bytes came, and their SHA-256",
    "/multipart": "POST: the fields and files of a multipart/form-data body",
    "/flaky?rate=0.1&status=503": "fails for exactly that share of the requests",
    "/stall?every=10s&for=1s": "stands still for 1s of every 10s",
    "/redirect/N, /redirect/loop": "N redirects, or endless ones; ?status=, ?absolute=1, ?to=URL for any place",
    "/cookies": "the cookies that came; /cookies/set?name=value, /cookies/delete?name",
    "/basic/USER/PASSWORD": "200 for these Basic credentials, else 401",
    "/digest/USER/PASSWORD": "the same with Digest; ?algorithm=SHA-256, ?qop=, ?stale_after=N uses",
    "/login?ttl=1h": "POST JSON with username and password: a token and a session cookie",
    "/protected": "200 for a token or cookie of /login, else 401",
    "/reset?after=N": "resets the connection, or does so after N bytes of a body",
    "/hang?after=N": "never answers, or sends N bytes of a body and no more",
    "/truncate?size=N&sent=M": "announces N bytes, sends M and closes; ?chunked=1, ?head=1",
    "/garbage?size=N": "N bytes that are no HTTP",
    "/slow-headers?delay_ms=MS&pieces=N": "sends the head in N pieces, MS milliseconds apart",
    "/endless-headers?lines=N": "N header lines and no end of the head",
    "/close?after_ms=MS": "answers, and closes the connection it promised to keep",
    "/stats": "what the target counted; POST /stats/reset begins anew",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", metavar="ADDRESS", help=f"listen here (default: {_DEFAULT_HOST})")
    parser.add_argument(
        "--port",
        type=_port,
        metavar="N",
        help=f"listen on this port, 0 for any free one (default: {_DEFAULT_PORT})",
    )
    parser.add_argument(
        "--unix",
        type=Path,
        metavar="PATH",
        help="listen on a unix socket at PATH in place of a port; it is removed at the end",
    )
    parser.add_argument(
        "--tls", action="store_true", help="speak HTTPS, with a certificate made for this run"
    )
    parser.add_argument(
        "--ca-out",
        type=Path,
        metavar="FILE",
        help="with --tls: write the CA certificate that clients may trust",
    )
    parser.add_argument(
        "--exit-with-parent",
        action="store_true",
        help="end as soon as the process that started this one ends",
    )
    parser.add_argument("--quiet", action="store_true", help="nothing on stderr but errors")


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65_535:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a port; write a number from 0 to 65535")
    return int(text)


def check_combinations(options: argparse.Namespace, given: Collection[str]) -> None:
    """Raises UsageError when one of the options `given` on the command line would have no effect."""
    without_effect = [f"--{name}" for name in ("host", "port") if name in given]
    if options.unix is not None and without_effect:
        has = "has" if len(without_effect) == 1 else "have"
        told = f"{' and '.join(without_effect)} {has} no effect with --unix"
        raise UsageError(f"{told}, which listens on a unix socket in place of a port; give one of them")


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m perfcore.target",
        description="A small HTTP server with known behaviour, to try a load test against.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    return parser


def run(options: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT. The first line on stdout is `listening on URL`, once that is true.

    For a unix socket it is `listening on unix:PATH`. Returns the exit code; PerfcoreError for what the user can put
    right.
    """
    if options.exit_with_parent and not _die_with_parent():
        return ExitCode.PASSED
    if options.ca_out is not None and not options.tls:
        _note(options, "--ca-out has no effect without --tls")
    from perfcore.target.listener import serve

    def announce(url: str) -> None:
        if options.tls and options.ca_out is None:
            _note(options, "the certificate is trusted by nobody: give --ca-out FILE, or do not verify it")
        elif options.tls:
            _note(options, f"CA certificate: {options.ca_out}")
        print(f"listening on {url}", flush=True)

    try:
        port = _DEFAULT_PORT if options.port is None else options.port
        serve(options.unix or (options.host or _DEFAULT_HOST, port), options.tls, options.ca_out, announce)
    except BrokenPipeError:
        # Whoever was to read the address is gone, so nobody will ever connect. It also closes the moment
        # between the start of this process and _die_with_parent, in which a parent's death goes unseen.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.SETUP_FAILED
    return ExitCode.PASSED


def _note(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        print(text, file=sys.stderr, flush=True)


def _die_with_parent() -> bool:
    """Have the kernel kill this process when the thread that started it ends; False if that has happened."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return os.getppid() == parent


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    try:
        return run(options)
    except PerfcoreError as error:
        print(f"perfcore target: {error}", file=sys.stderr)
        return error.exit_code
