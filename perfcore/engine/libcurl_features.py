"""What the installed libcurl can do, by the names that suites have for it (suite/features.py)."""

from functools import cache

import pycurl

# Bits of `curl_version_info`.
_BITS = {
    "ntlm": pycurl.VERSION_NTLM,
    "negotiate": pycurl.VERSION_SPNEGO,
    "http_version 2": pycurl.VERSION_HTTP2,
    "http_version 3": pycurl.VERSION_HTTP3,
    "compressed": pycurl.VERSION_LIBZ,
    "https_proxy": pycurl.VERSION_HTTPS_PROXY,
    "unix_socket": pycurl.VERSION_UNIX_SOCKETS,
}


def lacks(feature: str) -> str | None:
    """None when libcurl has the feature, else what lacks it, for a message."""
    info = pycurl.version_info()
    there = bool(info[4] & _BITS[feature]) if feature in _BITS else _takes(feature)
    return None if there else f"the installed libcurl {info[1]}"


@cache
def _takes(feature: str) -> bool:
    """Whether libcurl takes the option of a feature that has no bit: one that was built without it refuses it."""
    handle = pycurl.Curl()
    try:
        if feature == "digest":
            handle.setopt(pycurl.HTTPAUTH, pycurl.HTTPAUTH_DIGEST)
        elif feature == "aws_sigv4":
            handle.setopt(pycurl.AWS_SIGV4, "aws:amz:region:service")
        else:
            raise ValueError(f"{feature!r} is no feature")
    except (pycurl.error, AttributeError):
        return False
    finally:
        handle.close()
    return True
