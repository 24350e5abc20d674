"""How a request can end: the error kinds of the result format, as the small integers that a sample row holds.

A request has failed when its kind is not NONE. Transport kinds mean that no whole answer arrived; expectation
kinds mean that one did and broke what the suite asked of it.
"""

NONE = 0
# The order is the code in the sample row; append only, since sample files are read by it.
ERROR_KINDS: tuple[str, ...] = (
    "",
    "dns",
    "refused",
    "unreachable",
    "connect_timeout",
    "tls",
    "reset",
    "closed",
    "timeout",
    "truncated",
    "bad_response",
    "too_many_redirects",
    "expectation:status",
    "expectation:header",
    "expectation:body",
    "expectation:json",
    "expectation:max_time",
)
CODE: dict[str, int] = {kind: code for code, kind in enumerate(ERROR_KINDS)}

CONNECT_TIMEOUT = CODE["connect_timeout"]
TIMEOUT = CODE["timeout"]
MAX_TIME = CODE["expectation:max_time"]
# Up to here no whole answer arrived; from the next one on there is a status to count.
LAST_TRANSPORT_KIND = CODE["too_many_redirects"]
