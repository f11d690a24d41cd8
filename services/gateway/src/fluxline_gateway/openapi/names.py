"""Names in the OpenAPI document: those that clients are generated from, not those of our classes."""

import json
import re
from collections.abc import Iterator
from typing import Any

Document = dict[str, Any]

SCHEMAS = "#/components/schemas/"
REFERENCE = re.compile(rf'"{SCHEMAS}([^"]+)"')
_REQUEST = re.compile(r"(?<=[a-z])In$")
_NAMES = {
    "ErrorOut": "TrainingError",
    "EventOut": "TrainingEvent",
    "EventPage": "TrainingEventPage",
    "ResultOut": "TrainingResult",
    "StageOut": "TrainingStage",
    "Me": "Account",
    "Range_int_": "IntegerRange",
    "Range_float_": "NumberRange",
}
"""What has another name outside, where the rule below would give one that is taken or says little."""


_DESCRIPTIONS = {
    "Page": "Some items, newest first; `next_cursor` is null on the last page.",
    "Range": "A number between `min` and `max`, both included.",
}
"""Of what is generic, by the end of its name: pydantic says nothing of such a schema."""


def name_schemas(document: Document) -> None:
    """Rename the schemas and every reference to them; drop those that nothing refers to, and derived titles.

    Raises ValueError for two schemas of one name.
    """
    schemas: Document = document["components"]["schemas"]
    names = {name: _outside(name) for name in schemas}
    if len(set(names.values())) < len(names):
        raise ValueError(f"two schemas of one name: {sorted(names.items(), key=lambda item: item[1])}")
    document["components"]["schemas"] = {names[name]: schema for name, schema in schemas.items()}
    for name, schema in document["components"]["schemas"].items():
        if text := _DESCRIPTIONS.get(re.sub(r".*(?=[A-Z])", "", name)):
            schema.setdefault("description", text)
    _visit(document, names)
    _drop_unused(document)


def _outside(name: str) -> str:
    """`Training` for `TrainingOut`, `TrainingRequest` for `TrainingIn`, `TrainingPage` for a page of them."""
    if name in _NAMES:
        return _NAMES[name]
    if page := re.fullmatch(r"Page_(\w+)_", name):
        return _outside(page[1]) + "Page"
    if name.endswith("-Input"):  # what is said of it differs between asking and answering
        return _outside(name.removesuffix("-Input")) + "Request"
    return _REQUEST.sub("Request", name.removesuffix("-Output").removesuffix("Out").removesuffix("View"))


def _visit(node: Any, names: dict[str, str], *, named: bool = False) -> None:
    """`named`: the keys of `node` are names of properties or the like, so that a `title` among them is none of ours."""
    if isinstance(node, list):
        for item in node:
            _visit(item, names)
    elif isinstance(node, dict):
        if not named:
            _rename(node, names)
        for key, value in node.items():
            if key not in ("example", "examples", "value") or named:
                _visit(value, names, named=not named and key in ("properties", "schemas", "headers", "webhooks"))


def _rename(node: Document, names: dict[str, str]) -> None:
    if isinstance(reference := node.get("$ref"), str) and reference.startswith(SCHEMAS):
        node["$ref"] = SCHEMAS + names[reference.removeprefix(SCHEMAS)]
    if isinstance(node.get("title"), str) and "version" not in node:  # info keeps its own
        del node["title"]


def _drop_unused(document: Document) -> None:
    schemas: Document = document["components"]["schemas"]
    while unused := set(schemas) - set(REFERENCE.findall(json.dumps(document))):
        for name in unused:
            del schemas[name]


def operations_of(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Method (lower case), path and operation of every call."""
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method, path, operation
