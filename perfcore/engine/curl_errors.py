"""From libcurl's error codes to the error kinds of the result format.

The numbers are libcurl's own (curl/curl.h, part of its ABI): pycurl does not name all of them.
"""

import errno
import os

from perfcore.metrics.outcomes import CODE

URL_MALFORMAT = 3
_ABORTED_BY_CALLBACK = 42  # the only callback that aborts is the one that reads an Upload
_COULDNT_CONNECT = 7
_INTERFACE_FAILED = 45
_OPERATION_TIMEDOUT = 28
_SEND_ERROR, _RECV_ERROR = 55, 56

_KINDS: dict[str, tuple[int, ...]] = {
    "dns": (5, 6),  # proxy, host not resolved
    "closed": (52,),  # nothing came
    "truncated": (18,),
    "too_many_redirects": (47,),
    # 1 is what libcurl says of garbage on a fresh connection, 8 on a reused one; then a bad content encoding,
    # HTTP/2 and HTTP/3 framing, headers beyond libcurl's bound.
    "bad_response": (1, 8, 16, 61, 92, 95, 100),
    # Handshake, certificates (own, peer's, bundle), engine, cipher, shutdown, CRL, issuer, pinning, status; 43 is a
    # private key that cannot be used.
    "tls": (35, 43, 51, 53, 54, 58, 59, 60, 64, 66, 77, 80, 82, 83, 90, 91, 98),
}
# What connect() met, where it is not that there is no way to the server. A listener that goes away resets the
# connections that wait in its queue.
_BY_ERRNO = {errno.ECONNREFUSED: "refused", errno.ECONNRESET: "reset", errno.EPIPE: "reset"}
_BY_CODE = {code: CODE[kind] for kind, codes in _KINDS.items() for code in codes}


# Where libcurl has no words of its own.
_TEXTS = {100: "the head of the answer is larger than libcurl takes"}


# What the machine under the run lacks, and the way out; the system's own words sound as if it were the server's fault.
_LACKS = {
    errno.EADDRNOTAVAIL: "no free local port (use keepalive, more local_addresses, fewer users, "
    "or a wider net.ipv4.ip_local_port_range)",
    errno.EMFILE: "no free file descriptor (raise ulimit -n, or use fewer users)",
    errno.ENFILE: "the machine has no free file descriptor (fs.file-max)",
    errno.ENOBUFS: "the kernel has no memory for another connection",
    errno.ENOMEM: "the kernel has no memory for another connection",
}
_LACKS[errno.EADDRINUSE] = _LACKS[errno.EADDRNOTAVAIL]
_SOCKET_FAILURES = ("Recv failure:", "Send failure:")  # lib/cf-socket.c
SHORT_FILE_TEXT = "a file of the body has become shorter than it was when the run began"
_NO_WAY_WORDS = "Could not connect to server"


def error_text(curl_code: int, message: str, os_errno: int = 0) -> str:
    """What to tell of a failed transfer: libcurl's own words where it has some, with the system's reason."""
    if curl_code == _ABORTED_BY_CALLBACK:
        return SHORT_FILE_TEXT
    text = message or _TEXTS.get(curl_code) or f"libcurl error {curl_code}"
    if not os_errno:
        return text
    if curl_code == _INTERFACE_FAILED and os_errno == errno.EADDRNOTAVAIL:
        return f"{text}: this machine does not have that local address"
    if curl_code not in (_COULDNT_CONNECT, _INTERFACE_FAILED):
        return text
    reason = _LACKS.get(os_errno) or os.strerror(os_errno)
    return text.replace(_NO_WAY_WORDS, reason) if _NO_WAY_WORDS in text else f"{text}: {reason}"


def error_code(
    curl_code: int,
    os_errno: int,
    text: str = "",
    *,
    connected: bool,
    answer_began: bool,
    is_tls: bool = True,
) -> int:
    """The outcome code of a failed transfer; `text` is what libcurl says of it.

    `connected` says that a connection stood (and its TLS handshake, of `is_tls`, was through), `answer_began` that
    a byte of the answer had come.
    """
    if curl_code == _OPERATION_TIMEDOUT:
        return CODE["timeout" if connected else "connect_timeout"]
    if curl_code == _COULDNT_CONNECT:
        return CODE[_BY_ERRNO.get(os_errno, "unreachable")]
    if curl_code in (_SEND_ERROR, _RECV_ERROR):
        if not connected and text.startswith(
            "Failed to connect"
        ):  # over UDP it is sending that meets a closed port
            return CODE[_BY_ERRNO.get(os_errno, "unreachable")]
        return CODE[_broken_off(os_errno, text, answer_began) if connected or not is_tls else "tls"]
    if curl_code in _BY_CODE:
        return _BY_CODE[curl_code]
    if not connected:
        return CODE["unreachable"]
    return CODE["bad_response" if answer_began else "closed"]


def _broken_off(os_errno: int, text: str, answer_began: bool) -> str:
    """What a failed read or write was, on a connection that stood: libcurl has the same two codes for much.

    The system gives a reason where the socket itself failed. Otherwise it was the layer above it: TLS that ended
    without a goodbye or with an alert, or malformed chunks.
    """
    if os_errno:
        return "reset"
    if "unexpected eof" in text:
        return "truncated" if answer_began else "closed"
    if "SSL" in text:
        return "tls"
    return "bad_response" if answer_began else "reset"


def broken_off_code(error: Exception, *, answer_began: bool) -> tuple[int, str]:
    """The outcome code and the text of a read or write that has failed on a connection that stood.

    An OSError of the socket, or pycurl's error of a connection with TLS.
    """
    if isinstance(error, OSError):
        return CODE["reset"], os.strerror(error.errno or errno.ECONNRESET)
    curl_code, text = error.args[0], str(error.args[-1])
    if text.startswith(_SOCKET_FAILURES):
        return CODE["reset"], text  # it was the socket under TLS
    code = error_code(curl_code, 0, text, is_tls=True, connected=True, answer_began=answer_began)
    return code, error_text(curl_code, text)
