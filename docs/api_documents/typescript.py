"""Types for TypeScript from an OpenAPI document: an interface per schema, and one that has every call."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

Schema = Mapping[str, Any]

HEADER = """\
// Generated from docs/openapi.json by `make docs`: do not edit.
//
// const image: Image = await (await fetch(url)).json();
// type Started = Operations["create_training"]["answer"];
"""
_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_PLACES = {"path": "parameters", "query": "query", "header": "headers"}
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def declarations(document: Schema) -> str:
    """The text of a declaration file (`.d.ts`)."""
    schemas = document["components"]["schemas"]
    parts = [HEADER, *(_declaration(name, schemas[name]) for name in sorted(schemas)), _operations(document)]
    if webhooks := document.get("webhooks"):
        parts.append(_webhooks(webhooks))
    return "\n".join(parts)


def type_of(schema: Schema, indent: str = "") -> str:
    """A schema as a type expression; `indent` is that of the line it stands in."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(json.dumps(value) for value in schema["enum"])
    if options := schema.get("anyOf", schema.get("oneOf")):
        return " | ".join(dict.fromkeys(type_of(option, indent) for option in options))
    if "allOf" in schema:
        return " & ".join(type_of(option, indent) for option in schema["allOf"])
    if isinstance(schema.get("type"), list):
        return " | ".join(_SCALARS[kind] for kind in schema["type"])
    if schema.get("type") == "array":
        return f"Array<{type_of(schema.get('items', {}), indent)}>"
    if schema.get("type") == "object" or "properties" in schema:
        return _object(schema, indent)
    if schema.get("format") == "binary":
        return "Blob"
    return _SCALARS.get(schema.get("type", ""), "unknown")


def _declaration(name: str, schema: Schema) -> str:
    comment = _comment(schema.get("description", ""), "")
    if schema.get("properties"):
        return f"{comment}export interface {name} {_object(schema, '')}\n"
    return f"{comment}export type {name} = {type_of(schema)};\n"


def _object(schema: Schema, indent: str) -> str:
    more = schema.get("additionalProperties")
    if not schema.get("properties"):
        return f"Record<string, {type_of(more, indent) if isinstance(more, dict) else 'unknown'}>"
    inside = indent + "  "
    required = schema.get("required", [])
    lines = [
        f"{_comment(part.get('description', ''), inside)}{inside}{_key(name)}"
        f"{'' if name in required else '?'}: {type_of(part, inside)};\n"
        for name, part in schema["properties"].items()
    ]
    return "{\n" + "".join(lines) + indent + "}"


def _operations(document: Schema) -> str:
    comment = "/** Every call: its method and path, what it takes, and what it answers when all goes well. */\n"
    calls = [
        f"{_comment(operation['summary'], '  ')}  {operation['operationId']}: {_operation(method, path, operation)};\n"
        for path, item in document["paths"].items()
        for method, operation in item.items()
    ]
    return comment + "export interface Operations {\n" + "".join(calls) + "}\n"


def _operation(method: str, path: str, operation: Schema) -> str:
    lines = [f"method: {json.dumps(method.upper())}", f"path: {json.dumps(path)}"]
    for place in _PLACES:
        parameters = [item for item in operation.get("parameters", []) if item["in"] == place]
        if parameters:
            needed = "" if any(item.get("required") for item in parameters) else "?"
            lines.append(f"{_PLACES[place]}{needed}: {_parameters(parameters)}")
    lines += [f"body: {kind}" for kind in _kinds(operation.get("requestBody", {}))]
    answers = [_kinds(answer) for status, answer in operation["responses"].items() if status.startswith("2")]
    kinds = dict.fromkeys(kind for answer in answers for kind in answer)
    lines.append(f"answer: {' | '.join(kinds) or 'void'}")
    return "{\n" + "".join(f"    {line};\n" for line in lines) + "  }"


def _parameters(parameters: list[Schema]) -> str:
    schema = {
        "properties": {item["name"]: item["schema"] | {"description": item["description"]} for item in parameters},
        "required": [item["name"] for item in parameters if item.get("required")],
    }
    return _object(schema, "    ")


def _kinds(part: Schema) -> Iterator[str]:
    """The types of a body, one per content type; what is no JSON is text or bytes."""
    for content_type, media in part.get("content", {}).items():
        if content_type.endswith("json"):
            yield type_of(media["schema"], "    ")
        elif content_type.startswith("multipart/"):
            yield "FormData"
        else:
            yield "string" if content_type.startswith("text/") or "ndjson" in content_type else "Blob"


def _webhooks(webhooks: Schema) -> str:
    lines = [
        f"  {_key(name)}: {kind};\n" for name, item in webhooks.items() for kind in _kinds(item["post"]["requestBody"])
    ]
    return "/** What is sent to a webhook_url, by its type. */\nexport interface Webhooks {\n" + "".join(lines) + "}\n"


def _key(name: str) -> str:
    return name if _NAME.fullmatch(name) else json.dumps(name)


def _comment(text: str, indent: str) -> str:
    if not text:
        return ""
    lines = [line.rstrip() for line in text.replace("*/", "* /").splitlines()]
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    return f"{indent}/**\n" + "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines) + f"{indent} */\n"
