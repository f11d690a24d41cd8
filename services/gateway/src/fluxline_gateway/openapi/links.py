"""Links in the OpenAPI document: what an answer's ids lead to, so that tools can follow them."""

from typing import Final

from fluxline_gateway.openapi.names import SCHEMAS, Document, operations_of

_NAMED_BY: Final = {
    "Image": ("image_id", "id"),
    "ImageUpload": ("upload_id", "id"),
    "Training": ("training_id", "id"),
    "Model": ("model_id", "id"),
    "Generation": ("generation_id", "id"),
    "Key": ("key_id", "id"),
    "NewKey": ("key_id", "id"),
    "Delivery": ("delivery_id", "id"),
    "DeliveryDetail": ("delivery_id", "id"),
    "Owner": ("owner", "owner"),
}
"""By which parameter of a path a thing of this schema is named, and which of its fields holds that name."""


def add_links(document: Document) -> None:
    """Link every answer that shows one thing to the calls for this thing."""
    targets = _targets(document)
    for _, _, operation in operations_of(document):
        for status, response in operation["responses"].items():
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            named = _NAMED_BY.get(schema.get("$ref", "").removeprefix(SCHEMAS))
            if status.startswith("2") and named:
                own = operation["operationId"]
                links = {name: _link(name, *named) for name in targets.get(named[0], []) if name != own}
                response |= {"links": links} if links else {}


def _targets(document: Document) -> dict[str, list[str]]:
    """The operations whose path names exactly one thing, by the parameter that names it."""
    found: dict[str, list[str]] = {}
    for _, _, operation in operations_of(document):
        names = [item["name"] for item in operation.get("parameters", []) if item["in"] == "path"]
        if len(names) == 1:
            found.setdefault(names[0], []).append(operation["operationId"])
    return found


def _link(operation_id: str, parameter: str, field: str) -> Document:
    return {"operationId": operation_id, "parameters": {parameter: f"$response.body#/{field}"}}
