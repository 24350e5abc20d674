import errno

import pycurl
import pytest

from perfcore.engine.curl_errors import error_code, error_text
from perfcore.metrics.outcomes import ERROR_KINDS, LAST_TRANSPORT_KIND

EOF_TEXT = (
    "OpenSSL SSL_read: OpenSSL/3.6.5: error:0A000126:SSL routines::unexpected eof while reading, errno 0"
)
ALERT_TEXT = "OpenSSL SSL_read: OpenSSL/3.6.5: error:0A00045C:SSL routines::tlsv13 alert certificate required"


def kind(
    curl_code: int, os_errno: int = 0, text: str = "", *, connected: bool = True, began: bool = False
) -> str:
    return ERROR_KINDS[error_code(curl_code, os_errno, text, connected=connected, answer_began=began)]


@pytest.mark.parametrize(
    ("curl_code", "os_errno", "text", "connected", "began", "expected"),
    [
        (pycurl.E_COULDNT_RESOLVE_HOST, 0, "", False, False, "dns"),
        (pycurl.E_COULDNT_RESOLVE_PROXY, 0, "", False, False, "dns"),
        (pycurl.E_COULDNT_CONNECT, errno.ECONNREFUSED, "", False, False, "refused"),
        (pycurl.E_COULDNT_CONNECT, errno.EHOSTUNREACH, "", False, False, "unreachable"),
        (pycurl.E_COULDNT_CONNECT, errno.ENETUNREACH, "", False, False, "unreachable"),
        (pycurl.E_COULDNT_CONNECT, errno.EADDRNOTAVAIL, "", False, False, "unreachable"),
        (pycurl.E_OPERATION_TIMEDOUT, 0, "", False, False, "connect_timeout"),
        (pycurl.E_OPERATION_TIMEDOUT, 0, "", True, False, "timeout"),
        (pycurl.E_OPERATION_TIMEDOUT, 0, "", True, True, "timeout"),
        (pycurl.E_SSL_CONNECT_ERROR, 0, "", False, False, "tls"),
        (pycurl.E_PEER_FAILED_VERIFICATION, 0, "", False, False, "tls"),
        (pycurl.E_SSL_CERTPROBLEM, 0, "", False, False, "tls"),
        (pycurl.E_SSL_CACERT_BADFILE, 0, "", False, False, "tls"),
        (pycurl.E_GOT_NOTHING, 0, "", True, False, "closed"),
        (pycurl.E_PARTIAL_FILE, 0, "", True, True, "truncated"),
        (pycurl.E_TOO_MANY_REDIRECTS, 0, "", True, True, "too_many_redirects"),
        (pycurl.E_UNSUPPORTED_PROTOCOL, 0, "", True, False, "bad_response"),
        (8, 0, "", True, True, "bad_response"),
        (pycurl.E_RECV_ERROR, errno.ECONNRESET, "Recv failure", True, False, "reset"),
        (pycurl.E_RECV_ERROR, errno.ECONNRESET, "Recv failure", True, True, "reset"),
        (pycurl.E_SEND_ERROR, errno.EPIPE, "Send failure", True, False, "reset"),
        (pycurl.E_RECV_ERROR, errno.ECONNRESET, "", False, False, "tls"),
        (pycurl.E_RECV_ERROR, 0, "chunk hex-length char not a hex digit: 0x7a", True, True, "bad_response"),
        (pycurl.E_RECV_ERROR, 0, EOF_TEXT, True, False, "closed"),
        (pycurl.E_RECV_ERROR, 0, EOF_TEXT, True, True, "truncated"),
        (pycurl.E_RECV_ERROR, 0, ALERT_TEXT, True, False, "tls"),
        (pycurl.E_OUT_OF_MEMORY, 0, "", False, False, "unreachable"),
        (999, 0, "", True, False, "closed"),
        (999, 0, "", True, True, "bad_response"),
    ],
)
def test_the_kind_of_a_libcurl_error(
    curl_code: int, os_errno: int, text: str, connected: bool, began: bool, expected: str
) -> None:
    assert kind(curl_code, os_errno, text, connected=connected, began=began) == expected


def test_every_code_of_libcurl_is_a_transport_kind() -> None:
    for curl_code in range(1, 110):
        for connected in (False, True):
            code = error_code(curl_code, 0, connected=connected, answer_began=False)
            assert 0 < code <= LAST_TRANSPORT_KIND


FAILED = "Failed to connect to 127.0.0.1:8081 after 0 ms: Could not connect to server"


@pytest.mark.parametrize(
    ("curl_code", "message", "os_errno", "text"),
    [
        (pycurl.E_COULDNT_CONNECT, FAILED, 0, FAILED),
        (
            pycurl.E_COULDNT_CONNECT,
            FAILED,
            errno.EADDRNOTAVAIL,
            "Failed to connect to 127.0.0.1:8081 after 0 ms: no free local port (use keepalive, more "
            "local_addresses, fewer users, or a wider net.ipv4.ip_local_port_range)",
        ),
        (
            pycurl.E_COULDNT_CONNECT,
            FAILED,
            errno.EHOSTUNREACH,
            "Failed to connect to 127.0.0.1:8081 after 0 ms: No route to host",
        ),
        (
            pycurl.E_COULDNT_CONNECT,
            "",
            errno.EMFILE,
            "libcurl error 7: no free file descriptor (raise ulimit -n, or use fewer users)",
        ),
        (
            pycurl.E_INTERFACE_FAILED,
            "Failed binding local connection end",
            errno.EADDRNOTAVAIL,
            "Failed binding local connection end: this machine does not have that local address",
        ),
        (
            pycurl.E_RECV_ERROR,
            "Recv failure: Connection reset",
            errno.ECONNRESET,
            "Recv failure: Connection reset",
        ),
        (100, "", 0, "the head of the answer is larger than libcurl takes"),
        (999, "", 0, "libcurl error 999"),
    ],
)
def test_the_text_says_what_the_machine_lacks_and_the_way_out(
    curl_code: int, message: str, os_errno: int, text: str
) -> None:
    assert error_text(curl_code, message, os_errno) == text
