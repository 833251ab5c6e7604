"""PEM files for TLS, of a client or of a server; messages name them by their flags."""

import ssl
from pathlib import Path

from flanneld_py.errors import Exit, Fatal

__all__ = ["EncryptedKey", "check_authorities", "check_pair", "require_pem", "use_pair"]


class EncryptedKey(OSError):
    """OpenSSL asked for the password of a key."""


def require_pem(flag: str, path: str) -> None:
    """Raise `Fatal` if the file of this flag cannot be read or is something else."""
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        message = f"{flag}: {path} cannot be read: {error.strerror}: name a PEM file"
        raise Fatal(message, code=Exit.FILE) from error
    if b"-----BEGIN " not in content:
        message = f"{flag}: {path} is not in PEM format (no line says -----BEGIN ...-----)"
        raise Fatal(message, code=Exit.FILE)


def check_authorities(context: ssl.SSLContext, flag: str, cafile: str) -> None:
    """Have a context trust these authorities. `flag` is what the flag's name begins with. Raises `Fatal`."""
    try:
        context.load_verify_locations(cafile)
    except OSError as error:
        message = f"{flag}-cafile: {cafile} holds no certificate that can be used: {_reason(error)}"
        raise Fatal(message, code=Exit.FILE) from error


def check_pair(context: ssl.SSLContext, flag: str, certfile: str, keyfile: str) -> None:
    """Have a context show this certificate. `flag` is what the flags' names begin with. Raises `Fatal`."""
    try:
        use_pair(context, certfile, keyfile)
    except EncryptedKey:
        message = f"{flag}-keyfile: {keyfile} is encrypted: give one that needs no password"
        raise Fatal(message, code=Exit.FILE) from None
    except OSError as error:
        attempt = f"{flag}-certfile and {flag}-keyfile: {certfile} and {keyfile} cannot be used together"
        raise Fatal(f"{attempt}: {_reason(error)}", code=Exit.FILE) from error


def use_pair(context: ssl.SSLContext, certfile: str, keyfile: str) -> None:
    """Likewise; raises OSError, of which ssl.SSLError and `EncryptedKey` are subclasses."""

    def refuse_password() -> str:
        raise EncryptedKey(f"{keyfile} is encrypted")

    context.load_cert_chain(certfile, keyfile, password=refuse_password)


def _reason(error: OSError) -> str:
    """OpenSSL's reason in words: KEY_VALUES_MISMATCH is `key values mismatch`."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return error.strerror or str(error)
