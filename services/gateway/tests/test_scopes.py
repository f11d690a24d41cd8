"""What a key may do follows from method and path, on every route there will ever be."""

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from fluxline_gateway.deps import Owner
from fluxline_gateway.identity import scopes

from .bearers import caller


@pytest.fixture
def with_new_calls(app: FastAPI) -> FastAPI:
    """The application with calls that say nothing about scopes."""
    router = APIRouter(prefix="/v1")

    async def answer(owner: Owner) -> str:
        return owner.owner

    for path in ("/novelties", "/admin/novelties", "/administrators"):
        router.add_api_route(path, answer, methods=["GET"])
        router.add_api_route(path, answer, methods=["POST", "PATCH", "PUT", "DELETE"])
    app.include_router(router)
    return app


def refused(answer: httpx.Response, scope: str) -> bool:
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    if answer.status_code != 403:
        return False
    problem = answer.json()
    assert (problem["title"], problem["category"]) == ("Scope missing", "authentication")
    assert scope in problem["hint"]
    return answer.headers["www-authenticate"] == challenge


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_a_call_added_later_needs_the_scope_of_its_method(with_new_calls: FastAPI, method: str) -> None:
    own, other = ("read", "write") if method == "GET" else ("write", "read")
    async with caller(with_new_calls, "ada", own) as client:
        assert (await client.request(method, "/v1/novelties")).status_code == 200
        assert (await client.request(method, "/v1/administrators")).status_code == 200
    async with caller(with_new_calls, "ada", other) as client:
        assert refused(await client.request(method, "/v1/novelties"), own)


@pytest.mark.parametrize("root_path", ["", "/api"])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE"])
async def test_a_call_of_administration_added_later_needs_admin(
    with_new_calls: FastAPI, method: str, root_path: str
) -> None:
    with_new_calls.root_path = root_path
    path = f"{root_path}/v1/admin/novelties"
    async with caller(with_new_calls, "ada", "read", "write") as client:
        assert refused(await client.request(method, path), "admin")
        assert refused(await client.request(method, path.replace("admin", "%61dmin")), "admin")
    async with caller(with_new_calls, "ada", "admin") as client:
        assert (await client.request(method, path)).status_code == 200


async def test_admin_implies_read_and_write(app: FastAPI) -> None:
    async with caller(app, "ada", "admin") as client:
        assert (await client.get("/v1/images")).status_code == 200
        assert (await client.post("/v1/keys", json={"name": "laptop"})).status_code == 201


def test_the_needed_scope_is_told_by_method_and_route() -> None:
    assert scopes.needed("HEAD", "/v1/images") == "read"
    assert scopes.needed("GET", "/v1/admin") == "admin"
    assert scopes.needed("GET", "/v1/administrators") == "read"
    assert scopes.needed("PUT", "/v1/images/{image_id}") == "write"
