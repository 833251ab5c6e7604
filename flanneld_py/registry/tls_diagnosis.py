"""Why TLS with an endpoint fails: TLS libraries answer in codes, or not at all."""

import socket
import ssl
from dataclasses import dataclass

from flanneld_py.registry.access import Endpoint
from flanneld_py.registry.tls import Tls

__all__ = ["ETCD", "Hints", "diagnose"]

TIMEOUT = 0.2
"""Seconds in which a server that rejects our certificate says so; TLS 1.3 lets it do that late."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What to do, in terms of the flags that the endpoint came from.

    `flag` is what the names of the files' flags begin with; `plain` and `encrypted` say how to ask for a
    connection without TLS and with it.
    """

    flag: str
    plain: str
    encrypted: str


ETCD = Hints("-etcd", "give an http:// endpoint", "give an https:// endpoint")


def diagnose(endpoint: Endpoint, tls: Tls | None, timeout: float, hints: Hints = ETCD) -> str:
    """Shake hands with an endpoint and say what must be fixed; empty if nothing is wrong with TLS.

    For an endpoint that has just failed. `timeout` is in seconds.
    """
    if endpoint.path:
        return ""
    try:
        with socket.create_connection((endpoint.host, endpoint.port), timeout) as connection:
            if not endpoint.tls:
                return _plain(connection, hints)
            return "" if tls is None else _encrypted(connection, endpoint, tls, hints)
    except (OSError, UnicodeError):  # no connection, no such name: the caller has seen more of it
        return ""


def _plain(connection: socket.socket, hints: Hints) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        context.wrap_socket(connection).close()
    except ssl.SSLError as error:
        # An alert is a message of TLS, whatever it says.
        return f"it speaks TLS: {hints.encrypted}" if "ALERT" in (error.reason or "") else ""
    return f"it speaks TLS: {hints.encrypted}"


def _encrypted(connection: socket.socket, endpoint: Endpoint, tls: Tls, hints: Hints) -> str:
    context = tls.context()
    try:
        wrapped = context.wrap_socket(connection, server_hostname=endpoint.host)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _NOT_ITS_NAME:
            return f"its certificate is not valid for {endpoint.host}: use a name that the certificate has"
        attempt = f"its certificate is not trusted by {tls.cafile}: {error.verify_message}"
        return f"{attempt}: check {hints.flag}-cafile and the certificate"
    except (ConnectionError, ssl.SSLEOFError):
        return f"it aborts the TLS handshake: {hints.plain}, if it does not speak TLS"
    except ssl.SSLError as error:
        return _alert(error, tls, hints)
    with wrapped:
        wrapped.settimeout(TIMEOUT)
        try:
            ended = not wrapped.recv(1)
        except TimeoutError:
            return ""
        except (ConnectionError, ssl.SSLEOFError):
            ended = True
        except ssl.SSLError as error:
            return _alert(error, tls, hints)
    if not ended:
        return ""
    return f"it closes the connection after the TLS handshake: perhaps {_certificate(tls, hints)}"


def _alert(error: ssl.SSLError, tls: Tls, hints: Hints) -> str:
    reason = error.reason or ""
    if "ALERT" in reason and ("CERT" in reason or "UNKNOWN_CA" in reason):
        return _certificate(tls, hints)
    if reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return f"it does not speak TLS: {hints.plain}"
    return f"the TLS handshake fails: {reason.lower().replace('_', ' ') or error}"


def _certificate(tls: Tls, hints: Hints) -> str:
    if tls.certfile:
        return f"it rejects our client certificate: check {hints.flag}-certfile"
    return f"it requires a client certificate: give {hints.flag}-certfile and {hints.flag}-keyfile"


# X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH of openssl/x509_vfy.h.
_NOT_ITS_NAME = (62, 64)
