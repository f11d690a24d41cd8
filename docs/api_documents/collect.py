"""The OpenAPI document of the gateway as it is in this working tree, and the fingerprint that the changelog names."""

import hashlib
import json
import re
from typing import Any

from fastapi import FastAPI

from fluxline_gateway.app import ROUTERS
from fluxline_gateway.openapi.document import document

FINGERPRINT_CHARS = 12
_LINE = re.compile(r"^- API document `([0-9a-f]{12})`: \S", re.MULTILINE)


def gateway_document() -> dict[str, Any]:
    """The document that the gateway serves, whatever its storage."""
    app = FastAPI()
    for router in ROUTERS:
        app.include_router(router)
    return document(app.routes)


def as_text(document: dict[str, Any]) -> str:
    """As it is committed: a change of one fact is a change of one line."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def fingerprint(text: str) -> str:
    """Of a committed document."""
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_CHARS]


def announced(changelog: str) -> list[str]:
    """The fingerprints that the changelog's newest section names, each in a line that says what changed."""
    newest = changelog.partition("\n## [")[2].partition("\n## [")[0]
    return _LINE.findall(newest)
