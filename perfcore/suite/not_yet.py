"""Keys of the documented format that this version cannot carry out.

They are refused by name instead of being ignored, so that a suite never measures something else than it says.
A later version that brings one of them takes it out of here.
"""

IN_SUITE = frozenset({"hooks", "limits", "setup", "teardown", "thresholds"})

IN_TEST = frozenset(
    {
        "arrival",
        "compressed",
        "cookies",
        "data",
        "dns",
        "extract",
        "follow_redirects",
        "http_version",
        "local_addresses",
        "max_redirects",
        "max_users",
        "multipart",
        "on_failure",
        "preconnect",
        "probability",
        "proxy",
        "rate",
        "resolve",
        "retries",
        "retry_backoff",
        "retry_on",
        "stages",
        "steps",
        "thresholds",
        "trace",
        "unix_socket",
        "until",
        "warmup",
    }
)

AUTH_TYPES = frozenset({"aws_sigv4", "digest", "negotiate", "ntlm", "oauth2"})
