"""Static files: all addresses carry one hash over all contents, so that browsers keep them for ever."""

import hashlib
import mimetypes
from pathlib import Path

from fastapi import Request, Response

FOLDER = Path(__file__).parent / "static"
TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


class Assets:
    """The files of one folder, read once. ES modules import each other by relative paths, within the same hash."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """The address of a file; raises KeyError when there is none of that name."""
        self._files[name]
        return f"/static/{self.version}/{name}"

    def answer(self, request: Request, version: str, name: str) -> Response:
        """The file; from another version of the studio the address stays good, but is asked for anew each time."""
        content = self._files.get(name)
        if content is None:
            return Response(status_code=404)
        etag = f'"{self.version}"'
        keep = "public, max-age=31536000, immutable" if version == self.version else "no-cache"
        headers = {"ETag": etag, "Cache-Control": keep}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        suffix = Path(name).suffix
        media_type = TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
        return Response(content, media_type=media_type, headers=headers)
