"""Keys of the documented format that this version cannot carry out.

They are refused by name instead of being ignored, so that a suite never measures something else than it says.
A later version that brings one of them takes it out of here.
"""

IN_SUITE = frozenset({"hooks", "setup", "teardown", "thresholds"})

IN_TEST = frozenset(
    {
        "arrival",
        "data",
        "extract",
        "max_users",
        "on_failure",
        "probability",
        "rate",
        "stages",
        "steps",
        "thresholds",
        "trace",
        "until",
        "warmup",
    }
)

AUTH_TYPES = frozenset({"oauth2"})
