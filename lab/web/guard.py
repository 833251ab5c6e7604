"""Who may ask: the page of this very server alone, with the token of its printed address. Pure.

The server binds to 127.0.0.1. A page of another site could still send requests there by this machine's
browser, or come by a name of its own that leads there (DNS rebinding): `Host` and `Origin` give both away.
"""

import hmac
from dataclasses import dataclass

__all__ = ["HEADER", "HEADERS", "Guard", "Refusal"]

HEADER = "x-lab-token"

HTTP = 80
"""The port that an address without one means (RFC 9110, 4.2.1)."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""No inline script or style, nothing from anywhere else, and no frame around the page."""

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Of every answer."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not served."""

    status: int
    words: str


@dataclass(frozen=True, slots=True)
class Guard:
    """The token and the port of one run."""

    token: str
    port: int

    @property
    def hosts(self) -> tuple[str, ...]:
        """What `Host` may say, and `Origin` after http://; browsers leave out HTTP's own port there."""
        names = ("127.0.0.1", "localhost")
        with_port = tuple(f"{name}:{self.port}" for name in names)
        return (*with_port, *names) if self.port == HTTP else with_port

    def refusal(
        self, method: str, path: str, *, host: str, origin: str | None, header: str, query: str
    ) -> Refusal | None:
        """Why a request is refused; None where it is served.

        The page itself says nothing of the lab, and needs no token. What changes something takes it in the
        header, which no other site's form can send; what only tells takes it in the address as well, because
        a browser's EventSource sends no headers.
        """
        if host not in self.hosts:
            return Refusal(421, f"this is {self.hosts[0]}, and the request is for {host[:100] or 'nobody'}")
        if origin is not None and origin not in {f"http://{name}" for name in self.hosts}:
            return Refusal(403, f"requests of a page from {origin[:100]} are not served")
        if not path.startswith("/api/"):
            return None
        given = header if method != "GET" else header or query
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return Refusal(403, "the token is missing or wrong: open the address that lab serve has printed")
        return None
