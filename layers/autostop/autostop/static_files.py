"""The files of the phone page, the same for everybody: packed once, and known again by a tag."""

import base64
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

_KINDS = {".html": "text/html; charset=utf-8", ".json": "application/manifest+json", ".png": "image/png"}
# The page may be another after a deployment; the rest only tells what it looks like.
_KEPT = {".html": "no-cache", ".json": "max-age=86400", ".png": "max-age=86400"}


@dataclass(frozen=True, slots=True)
class File:
    """One of them. headers: of every answer."""

    headers: Mapping[str, str]
    content: bytes
    packed: bytes

    def answer(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """Of the shape that API Gateway wants. asked: the request's headers, their names in small letters."""
        if self.headers["ETag"] in (each.strip() for each in asked.get("if-none-match", "").split(",")):
            return {"statusCode": HTTPStatus.NOT_MODIFIED.value, "headers": dict(self.headers), "body": ""}
        headers, body = dict(self.headers), self.content
        if "gzip" in asked.get("accept-encoding", "").replace(" ", "").split(","):
            headers["Content-Encoding"], body = "gzip", self.packed
        encoded = base64.b64encode(body).decode()
        return {"statusCode": HTTPStatus.OK.value, "headers": headers, "body": encoded, "isBase64Encoded": True}


def files_in(folder: Path) -> Mapping[str, File]:
    """By name; the page is at any name that no other file has."""
    return {each.name: _file(each) for each in folder.iterdir()}


def _file(path: Path) -> File:
    content = path.read_bytes()
    if path.suffix == ".html":
        content = _lean(content.decode()).encode()
    # Weak, for it is the same whether it is packed or not.
    tag = f'W/"{hashlib.sha256(content).hexdigest()[:20]}"'
    kept = {"Cache-Control": _KEPT[path.suffix], "ETag": tag, "Vary": "Accept-Encoding"}
    headers = {"Content-Type": _KINDS[path.suffix], **kept}
    if path.suffix == ".html":
        headers["Content-Security-Policy"] = content_policy(content.decode())
    return File(headers, content, gzip.compress(content, mtime=0))


def _lean(page: str) -> str:
    """Without what only its authors read: indentation, and comments that stand alone."""
    return re.sub(r"^ *(//.*)?\n|^ +", "", re.sub(r"<!--.*?-->\n", "", page, flags=re.DOTALL), flags=re.MULTILINE)


def content_policy(page: str) -> str:
    """The Content-Security-Policy that lets exactly this page's own style and script run, and nothing else."""

    def hashes(tag: str) -> str:
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline)
        return " ".join(f"'sha256-{digest}'" for digest in digests)

    return (
        f"default-src 'none'; connect-src 'self'; img-src 'self'; manifest-src 'self'; style-src {hashes('style')}; "
        f"script-src {hashes('script')}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
