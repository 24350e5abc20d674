"""Options that users know from wrk, hey, k6, Locust, ab, vegeta or curl, and what to say to them here.

A flag that is taken for its own meaning elsewhere must not be answered with "unrecognized arguments" alone.
"""

from collections.abc import Iterator, Sequence

from perfcore.cli.option_values import LONGEST_TOLD

_WORKERS = "the number of worker processes is --procs N"
_USERS = "the number of users is parallel_users: in the suite"
_ITERATIONS = "the number of requests is iterations: or total_iterations: in the suite"
_DURATION = "the duration is duration: in the suite"
_RATE = (
    "the rate is rate: 500/s of a test in the suite, limits: {max_rate: 500/s} there the most that is sent"
)
_RAMP_UP = "users start over ramp_up: in the suite"
_BODY = "the body is body:, json:, form: or body_file: in the suite"
_SERVER = "the server is base_url: in the suite"
_SUITE = "the suite is the argument itself: perfcore suite.yaml"
_INSECURE = "it is tls: {verify: false} in the suite"
_RESULTS = "the result is kept in --results-dir DIR, and --json prints it"
_NO_PAGE = "there is no web page; leave it out"
_FAILURES = "the result has samples of what failed"

_ANSWERS = {
    "-e": "a variable is --var NAME=VALUE, an environment of the suite --env NAME",
    "-q": f"no progress and no summary is --quiet; {_RATE}",
    "-u": "the number of users is parallel_users: in the suite, credentials are auth: there",
    **dict.fromkeys(("-w", "-t", "--threads", "--workers", "--processes", "--cpus", "--worker"), _WORKERS),
    **dict.fromkeys(("--users", "--vus", "--connections", "--concurrency", "--clients"), _USERS),
    **dict.fromkeys(("-i", "--iterations", "--requests", "--num-requests"), _ITERATIONS),
    **dict.fromkeys(("--duration", "--run-time", "--time"), _DURATION),
    **dict.fromkeys(("-R", "--rate", "--rps", "--qps"), _RATE),
    **dict.fromkeys(("--ramp-up", "--rampup", "--spawn-rate"), _RAMP_UP),
    **dict.fromkeys(
        ("--stage", "--stages"), "stages are stages: [{duration: 30s, users: 50}] of a test in the suite"
    ),
    **dict.fromkeys(("--body", "--data", "--body-file"), _BODY),
    **dict.fromkeys(("--host", "--url", "--base-url", "--target"), _SERVER),
    **dict.fromkeys(("-f", "--config", "--locustfile", "--file", "--suite"), _SUITE),
    **dict.fromkeys(("--insecure", "--insecure-skip-tls-verify"), _INSECURE),
    **dict.fromkeys(("--header", "--headers"), "the headers are headers: in the suite"),
    **dict.fromkeys(("--method", "--request"), "the method is method: in the suite"),
    **dict.fromkeys(("-x", "--proxy"), "the proxy is proxy: in the suite"),
    **dict.fromkeys(("--http2", "--http3", "--h2", "--http1.1"), "it is http_version: in the suite"),
    **dict.fromkeys(("--output", "--csv", "--html", "--summary-export", "--log-file"), _RESULTS),
    **dict.fromkeys(("--headless", "--autostart", "--web-host", "--web-port"), _NO_PAGE),
    **dict.fromkeys(("-v", "--verbose", "--debug", "--log-level", "--http-debug"), _FAILURES),
    **dict.fromkeys(("--variable", "--set"), "a variable is --var NAME=VALUE"),
    "-s": "there are no scripts; a suite is a YAML file",
    "--script": "there are no scripts; a suite is a YAML file",
    "--targets": "the requests are the tests of the suite",
    "--timeout": "the timeout is timeout: in the suite",
    "--user": "credentials are auth: in the suite, the number of users is parallel_users: there",
    "--latency": "percentiles are always told; leave it out",
    "--environment": "an environment of the suite is --env NAME",
    "--tags": "a tag is --tag NAME=VALUE",
    "--color": "colour is used on a terminal; --no-color turns it off",
}
_NOT_YET = frozenset(
    {
        "-c", "-n", "-d", "-z", "-r", "-H", "-m", "-X", "-b", "-k", "-o", "--out", "--threshold", "--live",
        "--debug-once", "--print-suite",
    }
)  # fmt: skip


def foreign_answer(argument: str) -> str | None:
    """What to say to an argument that is an option elsewhere: `-w=4`, `-w4`, `--threads=4`, `-duration=5s`."""
    if not argument.startswith("-"):
        return None
    flag = argument.partition("=")[0]
    spellings = [flag] if flag.startswith("--") else [f"-{flag}", flag[:2]]
    for spelling in spellings:
        if spelling in _ANSWERS:
            typed = flag if spelling != flag[:2] else spelling
            return f"{typed} is not an option of perfcore: {_ANSWERS[spelling]}"
        if spelling in _NOT_YET:
            return f"{spelling} is not supported yet"
    return None


def told_surplus(surplus: Sequence[str], arguments: Sequence[str]) -> Iterator[str]:
    """The words that are too many: of options the name alone, of what comes after an option only what is short."""
    first_option = next((at for at, word in enumerate(arguments) if word.startswith("-")), len(arguments))
    for word in surplus:
        if word.startswith("-"):
            flag, equals, _ = word.partition("=")
            if not word.startswith("--") and len(word) > 2:
                yield f"{word[:2]}…"  # -uNAME:PASSWORD, as curl takes it
            else:
                yield f"{flag}=…" if equals else flag
        else:
            is_plain = len(word) <= LONGEST_TOLD or word in arguments[:first_option]
            yield word if is_plain else "…"
