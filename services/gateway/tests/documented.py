"""The OpenAPI document as tests walk it: every call, every example of its request, and the schemas of its answers."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx
import jsonschema_rs

from api_documents.collect import gateway_document
from photos import jpeg_bytes, scene

Document: TypeAlias = dict[str, Any]

DOCUMENT = gateway_document()
JSON = "application/json"
FORM = "multipart/form-data"


@dataclass(frozen=True)
class Sent:
    """A request as an example says it; `name` tells the examples of a call apart."""

    name: str
    query: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    files: list[Any] | None = None
    accepts: str = JSON


@dataclass(frozen=True)
class Call:
    """An operation of the document."""

    method: str
    path: str
    operation: Document

    @property
    def name(self) -> str:
        """Its operationId."""
        return str(self.operation["operationId"])

    @property
    def schemes(self) -> set[str]:
        """What it can be authenticated with."""
        return {scheme for choice in self.operation.get("security", []) for scheme in choice}

    @property
    def successes(self) -> dict[int, Document]:
        """The answers of what went well, a redirection included."""
        answers = {int(status): answer for status, answer in self.operation["responses"].items() if status.isdecimal()}
        return {status: answer for status, answer in answers.items() if status < 400 and status != 304}

    def parameters(self, place: str) -> dict[str, Any]:
        """The examples of its parameters in `path`, `query` or `header`, by name."""
        return {
            parameter["name"]: parameter["example"]
            for parameter in self.operation.get("parameters", [])
            if parameter["in"] == place
        }

    def url(self, **parameters: Any) -> str:
        """Its path with the examples, and these, in place."""
        return self.path.format(**self.parameters("path") | parameters)

    def sent(self) -> Iterator[Sent]:
        """Its requests: one for each example of a body, and for each content type that it can answer with."""
        headers = {name: str(value) for name, value in self.parameters("header").items()}
        query = self.parameters("query")
        content = self.operation.get("requestBody", {}).get("content", {})
        if JSON in content:
            for name, example in content[JSON].get("examples", {"none": {"value": {}}}).items():
                yield Sent(name, query, headers, body=example["value"])
        elif FORM in content:
            yield Sent("files", query, headers, files=list(_files(content[FORM]["schema"])))
        else:
            kinds = [kind for answer in self.successes.values() for kind in answer.get("content", {})] or ["*/*"]
            for kind in kinds:
                yield Sent(kind, query | self._asking_for(kind), headers, accepts=kind)

    def _asking_for(self, kind: str) -> dict[str, str]:
        """The `format` that leads to an answer of that content type, where the call has one."""
        formats = [item["schema"]["enum"] for item in self.operation.get("parameters", []) if item["name"] == "format"]
        fitting = [name for names in formats for name in names if kind.endswith(name)]
        return {"format": fitting[0]} if fitting else {}

    async def send(self, client: httpx.AsyncClient, sent: Sent, **changes: Any) -> httpx.Response:
        """The answer to one of its requests; `changes` go to httpx."""
        options: dict[str, Any] = {"params": sent.query, "headers": sent.headers | {"Accept": sent.accepts}}
        if sent.body is not None:
            options["json"] = sent.body
        if sent.files:
            options["files"] = sent.files
        return await client.request(self.method, self.url(), **options | changes)


CALLS = [
    Call(method.upper(), path, operation)
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
]


def named(name: str) -> Call:
    """The call with that operationId."""
    [found] = [call for call in CALLS if call.name == name]
    return found


def complaints(value: Any, schema: Document) -> list[str]:
    """What does not fit the schema, which may refer to the document's."""
    whole = {**copy.copy(schema), "components": DOCUMENT["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [f"{'/'.join(map(str, error.instance_path))}: {error.message}" for error in validator.iter_errors(value)]


def resolved(part: Document) -> Document:
    """The part itself, or what it refers to."""
    while reference := part.get("$ref"):
        part = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            part = part[step]
    return part


def _files(schema: Document) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """A photo for every field that takes files."""
    for name, part in schema["properties"].items():
        assert part["items"]["format"] == "binary", f"{name} is not of a kind that can be made up"
        yield name, ("ada.jpg", jpeg_bytes(scene((600, 600), 1)))
