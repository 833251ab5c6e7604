"""The page's files, from memory: to have a thread look for each takes longer than all else that is done."""

import hashlib
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["Files"]

KINDS = {
    ".css": "text/css",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
}

NOT_MODIFIED, NOT_FOUND = 304, 404


class Files:
    """All files of a folder, as they are when the server begins."""

    def __init__(self, folder: Path) -> None:
        found = [path for path in folder.rglob("*") if path.suffix in KINDS]
        self._answers = {str(path.relative_to(folder)): _answer(path) for path in found}

    def answer(self, request: Request, path: str) -> Response:
        """Answer with a file, unless the browser that asks has it."""
        found = self._answers.get(path)
        if found is None:
            return Response("Not Found", NOT_FOUND, media_type="text/plain")
        if request.headers.get("if-none-match") == found.headers["etag"]:
            return Response(status_code=NOT_MODIFIED, headers={"ETag": found.headers["etag"]})
        return found


def _answer(path: Path) -> Response:
    data = path.read_bytes()
    mark = f'"{hashlib.sha256(data).hexdigest()[:32]}"'
    return Response(data, media_type=KINDS[path.suffix], headers={"ETag": mark})
