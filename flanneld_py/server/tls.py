"""A server's TLS."""

import ssl

from flanneld_py.registry.access import Credentials
from flanneld_py.registry.pem import check_authorities, check_pair, require_pem

__all__ = ["server_tls"]

_FLAG = "-remote"


def server_tls(credentials: Credentials) -> ssl.SSLContext | None:
    """What to encrypt with, None without a certificate; a CA lets in its clients only. Raises `Fatal`."""
    cert, key, ca = credentials.certfile, credentials.keyfile, credentials.cafile
    if not cert:
        return None
    for name, path in (("certfile", cert), ("keyfile", key), ("cafile", ca)):
        if path:
            require_pem(f"{_FLAG}-{name}", path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    check_pair(context, _FLAG, cert, key)
    if ca:
        check_authorities(context, _FLAG, ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
