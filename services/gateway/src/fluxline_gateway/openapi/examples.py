"""Examples in the OpenAPI document: each is put together from those of the models, none is written here twice."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from fluxline_gateway import examples
from fluxline_gateway.openapi.names import SCHEMAS, Document

JSON = "application/json"
_TWICE = ("description", "examples")
"""What FastAPI says of a parameter, and again of its schema."""


class NoExample(Exception):
    """A schema has no example, and none can be put together from its parts."""


def add_examples(document: Document, operation: Document) -> None:
    """Give the operation's parameters, its JSON body and its JSON answers their examples, as far as there are any."""
    schemas: Document = document["components"]["schemas"]
    for parameter in operation.get("parameters", []):
        with suppress(NoExample):
            parameter["example"] = _of_parameter(operation["operationId"], parameter)
        if description := examples.DESCRIPTIONS.get(parameter["name"]):
            parameter.setdefault("description", description)
        parameter["schema"] = {key: part for key, part in parameter["schema"].items() if key not in _TWICE}
    answers = [answer for status, answer in operation["responses"].items() if status.startswith("2")]
    for part in (operation.get("requestBody", {}), *answers):
        media = part.get("content", {}).get(JSON, {"example": None})
        if not media.keys() & {"example", "examples"}:
            with suppress(NoExample):
                media["examples"] = _named(examples_of(media["schema"], schemas))


def _named(values: list[Any]) -> Document:
    return {f"example_{place}" if place > 1 else "example": {"value": value} for place, value in enumerate(values, 1)}


def complete_examples(document: Document) -> None:
    """Give the schemas' examples the order of their fields, and the nulls: FastAPI leaves these out."""
    schemas: Document = document["components"]["schemas"]
    for schema in schemas.values():
        for example in schema.get("examples", []):
            _complete(example, schema, schemas)


def _complete(value: Any, schema: Document, schemas: Mapping[str, Any]) -> None:
    """In place, through all that the schema says of the parts."""
    schema = schemas[schema["$ref"].removeprefix(SCHEMAS)] if "$ref" in schema else schema
    if isinstance(value, list):
        for item in value:
            _complete(item, schema.get("items", {}), schemas)
    elif isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        for name in schema.get("required", []):
            if {"type": "null"} in fields[name].get("anyOf", []):
                value.setdefault(name, None)
        ordered = {name: value.pop(name) for name in fields if name in value}
        value |= ordered
        for name, part in ordered.items():
            _complete(part, fields[name], schemas)
    for option in schema.get("anyOf", []):
        _complete(value, option, schemas)


def examples_of(schema: Document, schemas: Mapping[str, Any]) -> list[Any]:
    """All examples of a schema; the first of each part where it has none of its own. Raises NoExample."""
    if schema.get("default") is not None:
        return [schema["default"]]
    if reference := schema.get("$ref"):
        try:
            return examples_of(schemas[reference.removeprefix(SCHEMAS)], schemas)
        except NoExample as error:
            raise NoExample(f"{reference}: {error}") from None
    if "examples" in schema:
        return list(schema["examples"])
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"][:1])
    return [_composed(schema, schemas)]


def _composed(schema: Document, schemas: Mapping[str, Any]) -> Any:
    """An example from the parts of an object, a list or a union; null stands for what may be null."""
    if "properties" in schema:
        return {name: examples_of(part, schemas)[0] for name, part in schema["properties"].items()}
    if "items" in schema:
        return examples_of(schema["items"], schemas)
    parts: list[Document] = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf") or []
    if {"type": "null"} in parts:
        return None
    if parts:
        return examples_of(parts[0], schemas)[0]
    raise NoExample(f"{schema.get('type', schema)} without an example")


def _of_parameter(operation_id: str, parameter: Document) -> Any:
    """By its name, by its own examples, by what it is when left out, or by what it can be."""
    name, schema = parameter["name"], parameter["schema"]
    for key in (f"{operation_id}.{name}", name):
        if key in examples.PARAMETERS:
            return examples.PARAMETERS[key]
    if "example" in parameter:
        return parameter["example"]
    options = [schema, *schema.get("anyOf", [])]
    for option in options:
        if "examples" in option:
            return option["examples"][0]
    for option in options:
        if "default" in option or "enum" in option:
            return option.get("default", option.get("enum", [None])[0])
    raise NoExample(f"{operation_id}: the parameter {name} has no example")
