"""Styles, scripts and images of the pages, served under paths that change with what they hold."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, request

from cashman.contracts import contract
from cashman.errors import NotFound

FOLDER: Final = Path(__file__).parent / "dashboard" / "static"
MEDIA_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
"""What of the folder is served."""
WORTH_COMPRESSING: Final = 1_000
_FOREVER: Final = "public, max-age=31536000, immutable"

bp = Blueprint("assets", __name__)


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    media_type: str
    data: bytes
    compressed: bytes


@cache
def assets() -> dict[str, Asset]:
    """Every file by its path in the folder, held in memory: they are few and small."""
    files = {path.relative_to(FOLDER).as_posix(): path for path in sorted(FOLDER.rglob("*"))}
    found = {}
    for name, path in files.items():
        if path.suffix in MEDIA_TYPES:
            data = path.read_bytes()
            found[name] = Asset(MEDIA_TYPES[path.suffix], data, gzip.compress(data, 9, mtime=0))
    return found


@cache
def digest() -> str:
    """What all of the files hash to: one for all, so that scripts can import each other by their names alone."""
    hashed = hashlib.sha256()
    for name, asset in assets().items():
        hashed.update(f"{name}\n{len(asset.data)}\n".encode() + asset.data)
    return hashed.hexdigest()[:16]


def url(name: str) -> str:
    """Where a file is served; KeyError where there is none of this name."""
    assets()[name]
    return f"/static/{digest()}/{name}"


@bp.get("/static/<release>/<path:file>")
@contract(
    needs="anyone",
    answers={200: "The file."},
    gives={media_type: {"schema": {"type": "string"}} for media_type in MEDIA_TYPES.values()},
    problems=(NotFound,),
)
def get_asset(release: str, file: str) -> Response:
    """Send a style, a script or an image of the pages.

    Under the digest of another release it is what this one has, and is not kept: while releases change, the page of one
    may be served by the other.
    """
    asset = assets().get(file)
    if asset is None:
        raise NotFound()
    response = compressible(Response(asset.data, mimetype=asset.media_type), asset.compressed)
    response.headers["Cache-Control"] = _FOREVER if release == digest() else "no-cache"
    return response


def compressible(response: Response, compressed: bytes | None = None) -> Response:
    """A response as it is, or compressed where the client takes that and it is worth it."""
    response.vary.add("Accept-Encoding")
    data = response.get_data()
    if len(data) >= WORTH_COMPRESSING and request.accept_encodings["gzip"] > 0:
        response.set_data(compressed or gzip.compress(data, 6, mtime=0))
        response.headers["Content-Encoding"] = "gzip"
    return response
