"""Answers in the OpenAPI document: by rule, each call gets the errors that it can end with, and all headers."""

from collections.abc import Mapping
from typing import Final

from fluxline_gateway.openapi.components import SHARED, headers_of_error, references
from fluxline_gateway.openapi.names import Document
from fluxline_gateway.openapi.problems import problem_answer

_SUCCESS: Final[Mapping[str, str]] = {
    "200": "Done",
    "201": "Made; it can be used at once",
    "202": "Accepted: it is stored, and will be done",
    "204": "Done; there is nothing to say",
}


def describe_answers(method: str, path: str, operation: Document) -> None:
    """Complete the operation's answers: shared errors by reference, own ones with an example, headers on all."""
    responses: Document = operation["responses"]
    if "application/json" in responses.get("422", {}).get("content", {}):  # FastAPI's own
        del responses["422"]
    for status, response in responses.items():
        if status[0] in "45":
            responses[status] = response | problem_answer(
                int(status), response["description"], path, operation["operationId"]
            )
            names = headers_of_error(int(status))
        else:
            names = _names_for_success(method, status, operation)
            if response["description"] == "Successful Response":  # FastAPI's own
                response["description"] = _SUCCESS.get(status, "Done")
        responses[status]["headers"] = references(names) | response.get("headers", {})
    for shared in _errors_of(method, operation):
        responses.setdefault(str(shared), {"$ref": f"#/components/responses/{SHARED[shared][0]}"})
    if "ETag" in responses.get("200", {}).get("headers", {}):
        headers = references(["Cache-Control", "ETag", "traceparent"])
        responses.setdefault("304", {"description": "It is what If-None-Match names", "headers": headers})
    if "416" in responses:
        headers = responses["200"]["headers"] | references(["Content-Range"])
        responses.setdefault("206", responses["200"] | {"description": "The part that Range names", "headers": headers})
    operation["responses"] = dict(sorted(responses.items()))
    operation["responses"]["default"] = {"$ref": "#/components/responses/Problem"}


def _errors_of(method: str, operation: Document) -> list[int]:
    places = {parameter["in"] for parameter in operation.get("parameters", [])}
    names = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    has_body = "requestBody" in operation
    applies = {
        400: has_body,
        401: _is_authenticated(operation),
        403: _is_authenticated(operation),
        404: "path" in places,
        408: has_body,
        409: "idempotency-key" in names,
        413: has_body,
        422: bool(places) or has_body,
        429: _is_authenticated(operation),
        503: method != "get" or _is_authenticated(operation),
    }
    return [status for status, there in applies.items() if there]


def _is_authenticated(operation: Document) -> bool:
    """Whether it takes an API key: such calls are counted, and their key needs a scope."""
    return any("api_key" in scheme for scheme in operation.get("security", []))


def _names_for_success(method: str, status: str, operation: Document) -> list[str]:
    names = ["traceparent"]
    parameters = {parameter["name"].lower() for parameter in operation.get("parameters", [])}
    answer = operation["responses"][status]
    is_kept = "Cache-Control" not in answer.get("headers", {})
    is_json = "application/json" in answer.get("content", {})
    if _is_authenticated(operation):
        names += ["RateLimit", "RateLimit-Policy"]
    if method == "get" and status == "200" and is_kept and (is_json or "416" in operation["responses"]):
        names += ["Cache-Control", "ETag"]
        names += ["Link"] if _is_page(operation) else []
    if status in ("201", "202") and "idempotency-key" in parameters:
        names += ["Idempotent-Replayed", "Location"]
    return sorted(names)


def _is_page(operation: Document) -> bool:
    """Whether it answers pages with opaque cursors; the history of a training goes by numbers."""
    cursors = [item["schema"] for item in operation.get("parameters", []) if item["name"] == "cursor"]
    return any(option.get("type") == "string" for schema in cursors for option in schema.get("anyOf", [schema]))
