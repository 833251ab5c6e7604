"""The PEM files of a client of etcd, read and checked before anything is sent."""

import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flanneld_py.errors import Exit, Fatal
from flanneld_py.registry.access import Credentials, Endpoint

__all__ = ["Tls", "choose"]

# Where distributions keep the authorities that they trust: the list of Go's crypto/x509/root_linux.go.
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
    """Paths of PEM files: whom we believe, and, both or neither, who we are."""

    cafile: str
    certfile: str | None
    keyfile: str | None

    def context(self) -> ssl.SSLContext:
        """For Python's own TLS. Reads the files anew; raises OSError, of which ssl.SSLError is one."""
        # Not create_default_context: Python 3.13 refuses there what Go accepts (VERIFY_X509_STRICT).
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.cafile)
        if self.certfile and self.keyfile:
            context.load_cert_chain(self.certfile, self.keyfile, password=_refuse_password)
        return context


def choose(endpoints: Sequence[Endpoint], credentials: Credentials, flag: str = "-etcd") -> Tls | None:
    """What to connect with, or None where no endpoint is https. Raises `Fatal`, naming the flag.

    `flag` is what the names of the files' flags begin with.
    """
    cert, key = credentials.certfile, credentials.keyfile
    if bool(cert) != bool(key):
        given, missing = ("certfile", "keyfile") if cert else ("keyfile", "certfile")
        raise Fatal(
            f"{flag}-{given} is given and {flag}-{missing} is not: a client certificate takes both",
            code=Exit.USAGE,
        )
    if credentials.password and not credentials.username:
        raise Fatal("-etcd-password is given and -etcd-username is not: give both", code=Exit.USAGE)
    for name, text in (
        ("-etcd-username", credentials.username),
        ("-etcd-password", credentials.password),
    ):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Fatal(f"{name} is not UTF-8: etcd knows no other", code=Exit.USAGE) from None
    if not any(endpoint.tls for endpoint in endpoints):
        return None
    ca = credentials.cafile or _system(flag)
    for name, path in (("cafile", ca), ("certfile", cert), ("keyfile", key)):
        if path:
            _require_pem(f"{flag}-{name}", path)
    tls = Tls(ca, cert or None, key or None)
    try:
        Tls(ca, None, None).context()
    except OSError as error:
        message = f"{flag}-cafile: {ca} holds no certificate that can be used: {_reason(error)}"
        raise Fatal(message, code=Exit.FILE) from error
    try:
        tls.context()
    except _EncryptedError:
        message = f"{flag}-keyfile: {key} is encrypted: give one that needs no password"
        raise Fatal(message, code=Exit.FILE) from None
    except OSError as error:
        attempt = f"{flag}-certfile and {flag}-keyfile: {cert} and {key} cannot be used together"
        raise Fatal(f"{attempt}: {_reason(error)}", code=Exit.FILE) from error
    return tls


def _system(flag: str) -> str:
    """The system's authorities, as Go finds them: $SSL_CERT_FILE, else a distribution's file."""
    if given := os.environ.get("SSL_CERT_FILE"):
        return given
    found = next((path for path in SYSTEM if Path(path).is_file()), None)
    if found is None:
        attempt = "TLS is asked for, and this machine trusts no certificate authority"
        raise Fatal(f"{attempt} ({SYSTEM[0]} and the like are missing): give {flag}-cafile", code=Exit.FILE)
    return found


def _require_pem(flag: str, path: str) -> None:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        message = f"{flag}: {path} cannot be read: {error.strerror}: name a PEM file"
        raise Fatal(message, code=Exit.FILE) from error
    if b"-----BEGIN " not in content:
        message = f"{flag}: {path} is not in PEM format (no line says -----BEGIN ...-----)"
        raise Fatal(message, code=Exit.FILE)


class _EncryptedError(Exception):
    """OpenSSL asked for the password of a key."""


def _refuse_password() -> str:
    raise _EncryptedError


def _reason(error: OSError) -> str:
    """OpenSSL's reason in words: KEY_VALUES_MISMATCH is `key values mismatch`."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)
