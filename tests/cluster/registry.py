"""A container registry on this machine with one small image: as much of it as an engine asks for in a pull.

https://github.com/opencontainers/distribution-spec; an engine speaks plain HTTP with 127.0.0.1.
"""

import gzip
import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["registry"]

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
CONFIG = "application/vnd.docker.container.image.v1+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def contents(program: bytes, arch: str) -> tuple[str, dict[str, tuple[str, bytes]]]:
    """The digest of an image that has this program as /busybox, and everything by its digest."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        info = tarfile.TarInfo("busybox")
        info.size, info.mode = len(program), 0o755
        archive.addfile(info, io.BytesIO(program))
    layer = gzip.compress(packed.getvalue(), 1)
    rootfs = {"type": "layers", "diff_ids": [digest(packed.getvalue())]}
    config = json.dumps({"architecture": arch, "os": "linux", "config": {}, "rootfs": rootfs}).encode()
    parts = {LAYER: layer, CONFIG: config}
    about = {
        kind: {"mediaType": kind, "size": len(data), "digest": digest(data)} for kind, data in parts.items()
    }
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": MANIFEST, "config": about[CONFIG], "layers": [about[LAYER]]}
    ).encode()
    every = {digest(data): (kind, data) for kind, data in {**parts, MANIFEST: manifest}.items()}
    return digest(manifest), every


@contextmanager
def registry(program: bytes, arch: str) -> Iterator[tuple[str, str]]:
    """A registry for as long as the context is open: its HOST:PORT, and the digest of its image `tiny`."""
    manifest, every = contents(program, arch)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler(every)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}", manifest
        finally:
            server.shutdown()


def handler(every: Mapping[str, tuple[str, bytes]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = every.get(self.path.rpartition("/")[2])
            if self.path == "/v2/":
                found = ("application/json", b"{}")
            self.send_response(200 if found else 404)
            kind, data = found or ("application/json", b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Docker-Content-Digest", digest(data))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815 - http.server's name for it

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    return Handler
