"""The OpenAPI document: what FastAPI derives from the routes, completed by rule so that no call is forgotten.

The rules are in the modules `openapi_*`; what is said of one call stands at its route.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from fluxline_gateway.errors import Problem
from fluxline_gateway.openapi import webhooks
from fluxline_gateway.openapi.answers import describe_answers
from fluxline_gateway.openapi.components import components
from fluxline_gateway.openapi.examples import add_examples, complete_examples
from fluxline_gateway.openapi.guide import GUIDE, SUMMARY, TAGS
from fluxline_gateway.openapi.links import add_links
from fluxline_gateway.openapi.names import REFERENCE, SCHEMAS, Document, name_schemas, operations_of

TITLE = "fluxline"
VERSION = "1"
_SENTENCE = re.compile(r"(?:`[^`]*`|[^`])+?(?=[.;:] |$)")


def install(app: FastAPI) -> None:
    """Make `app` serve its document; made once, when it is first asked for."""

    def served() -> Document:
        if app.openapi_schema is None:
            app.openapi_schema = document(app.routes)
        return app.openapi_schema

    app.openapi = served  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def document(routes: Sequence[BaseRoute]) -> Document:
    """The document of these routes. Raises ValueError for two schemas of one name."""
    made: dict[str, Any] = get_openapi(
        title=TITLE,
        version=VERSION,
        openapi_version="3.1.0",
        summary=SUMMARY,
        description=GUIDE,
        routes=routes,
        webhooks=webhooks.router.routes,
        servers=[{"url": "/"}],
    )
    parts = made.setdefault("components", {})
    problem = Problem.model_json_schema(ref_template=SCHEMAS + "{model}")
    schemas = parts.setdefault("schemas", {})
    schemas |= problem.pop("$defs", {}) | {"Problem": problem}
    parts |= components()
    for method, path, operation in operations_of(made):
        _summarise(operation)
        describe_answers(method, path, operation)
    sent = [item["post"] for item in made["webhooks"].values()]
    for operation in sent:
        _summarise(operation)
        operation["responses"] = {status: operation["responses"][status] for status in ("2XX", "410", "default")}
    name_schemas(made)
    _require_what_is_always_there(made)
    complete_examples(made)
    for operation in [*(operation for _, _, operation in operations_of(made)), *sent]:
        add_examples(made, operation)
    add_links(made)
    used = {tag for _, _, operation in operations_of(made) for tag in operation.get("tags", [])}
    made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items() if name in used]
    return made


def _summarise(operation: Document) -> None:
    """The first sentence of what the call does is its summary, or as much of it as says it."""
    first = str(operation.get("description", operation["summary"])).partition("\n")[0]
    if found := _SENTENCE.match(first):
        operation["summary"] = found[0].rstrip(".")


def _require_what_is_always_there(document: Document) -> None:
    """An answer has all its fields, whatever their defaults; FastAPI says so of those without one."""
    schemas: Document = document["components"]["schemas"]
    calls = [operation for _, _, operation in operations_of(document)]
    answers = [answer for call in calls for status, answer in call["responses"].items() if status.startswith("2")]
    answers += [item["post"]["requestBody"] for item in document["webhooks"].values()]
    asked = _reachable([call.get("requestBody") for call in calls], schemas)
    for name in _reachable(answers, schemas) - asked:
        if "properties" in schemas[name]:
            schemas[name]["required"] = list(schemas[name]["properties"])


def _reachable(parts: object, schemas: Document) -> set[str]:
    """The schemas that these parts of the document refer to, and what these refer to."""
    found: set[str] = set()
    new = set(REFERENCE.findall(json.dumps(parts)))
    while new:
        found |= new
        new = set(REFERENCE.findall(json.dumps([schemas[name] for name in new]))) - found
    return found
