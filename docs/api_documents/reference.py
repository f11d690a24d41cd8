"""A reference to read, in Markdown, from an OpenAPI document: the guide, then the calls by group, then the shapes."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from api_documents.typescript import type_of

Schema = Mapping[str, Any]

HEADER = "<!-- Generated from the gateway's routes by `make docs`: do not edit. -->\n"


def markdown(document: Schema) -> str:
    """The reference as one page."""
    parts = [HEADER, f"# HTTP API\n\n{document['info']['description']}", _contents(document)]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        parts += [_call(*call, document) for call in _calls(document) if tag["name"] in call[2]["tags"]]
    if webhooks := document.get("webhooks"):
        parts.append("## Requests that are sent to a `webhook_url`\n")
        parts += [_webhook(name, item["post"]) for name, item in webhooks.items()]
    parts.append("## Shapes\n")
    parts += [_shape(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]
    return "\n".join(parts)


def _calls(document: Schema) -> Iterator[tuple[str, str, Schema]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield method.upper(), path, operation


def _contents(document: Schema) -> str:
    rows = [
        f"| [`{method} {path}`](#{operation['operationId']}) | {_cell(operation['summary'])} |\n"
        for tag in document["tags"]
        for method, path, operation in _calls(document)
        if tag["name"] in operation["tags"]
    ]
    return "| call | does |\n|---|---|\n" + "".join(rows)


def _call(method: str, path: str, operation: Schema, document: Schema) -> str:
    name = operation["operationId"]
    lines = [f'<a id="{name}"></a>\n### `{method} {path}`\n', f"{operation.get('description', operation['summary'])}\n"]
    if parameters := operation.get("parameters"):
        rows = [f"| `{item['name']}` | {item['in']} | {_parameter(item)} |\n" for item in parameters]
        lines.append("| parameter | in | |\n|---|---|---|\n" + "".join(rows))
    for part, word in ((operation.get("requestBody"), "Takes"), *_successes(operation)):
        lines += [_body(content_type, media, word) for content_type, media in (part or {}).get("content", {}).items()]
    rows = [f"| {status} | {_cell(text)} |\n" for status, text in _answers(operation, document)]
    lines.append("| answer | when |\n|---|---|\n" + "".join(rows))
    return "\n".join(lines)


def _parameter(item: Schema) -> str:
    needed = "; required" if item.get("required") else ""
    return f"{_cell(item['description'])} ({_cell(type_of(item['schema']))}{needed})"


def _successes(operation: Schema) -> Iterator[tuple[Schema, str]]:
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            yield response, f"{status} answers"


def _body(content_type: str, media: Schema, word: str) -> str:
    schema = media["schema"]
    link = f" [{type_of(schema)}](#{type_of(schema).lower()})" if "$ref" in schema else ""
    text = f"{word}{link} (`{content_type}`):\n"
    for example in media.get("examples", {}).values():
        text += f"\n```json\n{json.dumps(example['value'], indent=2, ensure_ascii=False)}\n```\n"
    if isinstance(media.get("example"), str):
        text += f"\n```\n{media['example'].rstrip()}\n```\n"
    return text


def _answers(operation: Schema, document: Schema) -> Iterator[tuple[str, str]]:
    for status, response in operation["responses"].items():
        if "$ref" in response:
            response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        yield status if status.isdecimal() else "any other", response["description"]


def _webhook(name: str, operation: Schema) -> str:
    bodies = [_body(kind, media, "Sends") for kind, media in operation["requestBody"]["content"].items()]
    return f"### `{name}`\n\n{operation.get('description', operation['summary'])}\n\n" + "\n".join(bodies)


def _shape(name: str, schema: Schema) -> str:
    head = f'<a id="{name.lower()}"></a>\n### {name}\n\n{schema.get("description", "")}\n'
    if "properties" not in schema:
        return f"{head}\n`{type_of(schema)}`\n"
    required = schema.get("required", [])
    rows = [
        f"| `{key}` | {_cell(type_of(part))}{'' if key in required else ', optional'} | "
        f"{_cell(part.get('description', ''))} |\n"
        for key, part in schema["properties"].items()
    ]
    return f"{head}\n| field | type | |\n|---|---|---|\n" + "".join(rows)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
