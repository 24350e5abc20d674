"""What a contestant is to do: the same words for every tool."""

from dataclasses import dataclass, field

# A JSON object of 1 KiB; @A@ and @B@ are where the variables stand.
_FILLING = "0123456789abcdef" * 60
BODY_WITHOUT_VARIABLES = f'{{"id": 123456, "order": 654321, "note": "{_FILLING}"}}'
BODY_WITH_VARIABLES = f'{{"id": @A@, "order": @B@, "note": "{_FILLING}"}}'


@dataclass(frozen=True)
class Job:
    """One load: `connections` users in a closed loop without a pause, for `seconds`."""

    path: str = "/plain"
    connections: int = 50
    processes: int = 1
    """Worker processes, or threads of a tool that has those."""
    scheme: str = "http"
    """http, https, or h2c: HTTP/2 without TLS, by prior knowledge."""
    keepalive: bool = True
    post: bool = False
    variables: bool = False
    """Two parts of the body differ in every request."""
    checks: bool = False
    """A header, a text of the body and one value of the JSON are checked in every response."""
    needs: frozenset[str] = field(default=frozenset())
    """What else a tool must know, by the words of `Tool.knows`."""

    @property
    def body(self) -> str | None:
        if not self.post:
            return None
        return BODY_WITH_VARIABLES if self.variables else BODY_WITHOUT_VARIABLES

    def needed(self) -> frozenset[str]:
        """What a tool must know to do it, by the words of `Tool.knows`."""
        wanted = {
            self.scheme: self.scheme != "http",
            "close": not self.keepalive,
            "post": self.post,
            "variables": self.variables,
            "checks": self.checks,
            "processes": self.processes > 1,
        }
        return self.needs | {word for word, is_wanted in wanted.items() if is_wanted}
