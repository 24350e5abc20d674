"""What a request needs that the installed transport may lack: told when the suite is loaded, not by every request.

Which features there are is known to the engine alone; it hands down `lacks`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perfcore.suite.mistakes import Mistake
from perfcore.suite.option_conflicts import is_asked

# None for a feature that is there; else what lacks it, such as `the installed libcurl 8.23.0`.
Lacks = Callable[[str], str | None]

_OTHER_AUTH = "use basic, digest or bearer"


def nothing_lacks(_feature: str) -> str | None:
    return None


def missing_features(test: Mapping[str, Any], lacks: Lacks) -> Iterator[Mistake]:
    """A mistake for each feature that this request needs and that is lacking; wrong values are left to the model."""
    for path, feature, told, way_out in _needed(test):
        if where := lacks(feature):
            yield Mistake(path, f"{told} is not in {where}; {way_out}")


def _needed(test: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str, str, str]]:
    """Key path, name of the feature, how it is called, and what else would do."""
    auth = test.get("auth")
    kind = auth.get("type") if isinstance(auth, Mapping) else None
    if kind in ("digest", "ntlm", "negotiate", "aws_sigv4"):
        yield ("auth", "type"), str(kind), f"{kind!r}", _OTHER_AUTH
    version = str(test.get("http_version"))[:20]
    if version[:1] in ("2", "3"):
        yield ("http_version",), f"http_version {version[0]}", f"HTTP/{version[0]}", "use auto or 1.1"
    if str(test.get("proxy")).lower().startswith("https:"):
        yield ("proxy",), "https_proxy", "a proxy over https", "use one over http"
    if is_asked(test.get("unix_socket")):
        yield ("unix_socket",), "unix_socket", "a Unix socket", "use a host and a port"
    if is_asked(test.get("compressed")):
        yield ("compressed",), "compressed", "decompression", "leave compressed out"
