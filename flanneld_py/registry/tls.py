"""A client's TLS: its files are read and checked before anything is sent."""

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flanneld_py.errors import Exit, Fatal
from flanneld_py.registry.access import Credentials, Endpoint
from flanneld_py.registry.pem import check_authorities, check_pair, require_pem, use_pair

__all__ = ["Tls", "client_tls"]

# Where distributions keep the authorities that they trust, as listed in Go's crypto/x509/root_linux.go.
SYSTEM = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files: whom we trust, and, both or neither, who we are."""

    cafile: str
    certfile: str | None
    keyfile: str | None

    def context(self) -> ssl.SSLContext:
        """For Python's own TLS. Reads the files again; raises OSError, which includes ssl.SSLError."""
        context = _client_context()
        context.load_verify_locations(self.cafile)
        if self.certfile and self.keyfile:
            use_pair(context, self.certfile, self.keyfile)
        return context


def client_tls(endpoints: Sequence[Endpoint], credentials: Credentials, flag: str = "-etcd") -> Tls | None:
    """What to connect with, or None where no endpoint is https. Raises `Fatal`, naming the flag.

    `flag` is what the names of the files' flags begin with.
    """
    for name, text in (
        ("-etcd-username", credentials.username),
        ("-etcd-password", credentials.password),
    ):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Fatal(f"{name} is not UTF-8, and etcd accepts nothing else", code=Exit.USAGE) from None
    if not any(endpoint.tls for endpoint in endpoints):
        return None
    ca, cert, key = credentials.cafile or _system(flag), credentials.certfile, credentials.keyfile
    for name, path in (("cafile", ca), ("certfile", cert), ("keyfile", key)):
        if path:
            require_pem(f"{flag}-{name}", path)
    context = _client_context()
    check_authorities(context, flag, ca)
    if cert:
        check_pair(context, flag, cert, key)
    return Tls(ca, cert or None, key or None)


def _client_context() -> ssl.SSLContext:
    # Not create_default_context: Python 3.13 refuses there what Go accepts (VERIFY_X509_STRICT).
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _system(flag: str) -> str:
    """The system's authorities, as Go finds them: $SSL_CERT_FILE, else a distribution's file."""
    if given := os.environ.get("SSL_CERT_FILE"):
        return given
    found = next((path for path in SYSTEM if Path(path).is_file()), None)
    if found is None:
        attempt = "TLS is wanted, but this machine has no CA certificates"
        raise Fatal(f"{attempt} ({SYSTEM[0]} and the like are missing): give {flag}-cafile", code=Exit.FILE)
    return found
