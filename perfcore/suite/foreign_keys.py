"""Keys that users know from other tools or guess first, and which key of a suite does it here.

They are unknown keys all the same; only what is said about them is better than what a similar spelling would bring.
"""

from collections.abc import Mapping

_USERS = "did you mean 'parallel_users'?"
_EXPECT = "did you mean 'expect'?"
_ENDPOINT = "did you mean 'endpoint'?"
_RATE = "did you mean 'rate' (iterations started per second)?"
_VERIFY = "write tls: {verify: false} to accept any certificate"

IN_TEST: Mapping[str, str] = {
    **dict.fromkeys(("users", "vus", "concurrency", "threads", "connections", "clients"), _USERS),
    **dict.fromkeys(("assert", "asserts", "assertions", "check", "checks", "validate"), _EXPECT),
    **dict.fromkeys(("url", "uri", "path"), _ENDPOINT),
    **dict.fromkeys(("rps", "qps", "requests_per_second", "arrival_rate"), _RATE),
    **dict.fromkeys(("insecure", "verify", "verify_ssl", "ssl_verify"), _VERIFY),
    **dict.fromkeys(("query", "query_params"), "did you mean 'params'?"),
    **dict.fromkeys(("retry", "max_retries"), "did you mean 'retries'?"),
    "requests": "did you mean 'total_iterations' (of all users) or 'iterations' (of each)?",
    "status": "write expect: {status: …}",
}
IN_SUITE: Mapping[str, str] = {
    **dict.fromkeys(("url", "host", "server", "target"), "did you mean 'base_url'?"),
    "vars": "did you mean 'variables'?",
    "env": "did you mean 'environments' or 'variables'?",
    **dict.fromkeys(("scenarios", "requests"), "did you mean 'tests'?"),
}
