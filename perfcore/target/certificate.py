"""A certificate authority made for one run of the target, and a server certificate for loopback under it.

The private keys live in memory (trustme hands them to OpenSSL through a file that it removes at once); only the
authority's public certificate is written, and only where the caller asked for it.
"""

import ssl
from pathlib import Path

from perfcore.errors import UsageError

NAMES = ("localhost", "127.0.0.1", "::1")


def server_context(ca_out: Path | None) -> ssl.SSLContext:
    """TLS for a server that is one of NAMES; whoever trusts the PEM file written to `ca_out` can verify it.

    UsageError when trustme is missing or `ca_out` cannot be written.
    """
    try:
        import trustme
    except ImportError:
        raise UsageError("--tls needs trustme: pip install 'perfcore[tls-target]'") from None
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    authority.issue_cert(*NAMES).configure_cert(context)
    if ca_out is not None:
        try:
            ca_out.write_bytes(authority.cert_pem.bytes())
        except OSError as error:
            raise UsageError(f"--ca-out {ca_out}: {error.strerror}") from None
    return context
