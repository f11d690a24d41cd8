"""Scopes: what an API key may do. Method and path of a call decide, so a new call needs no word about it."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias, get_args

from fluxline.contracts.errors import ErrorCategory
from fluxline_gateway.errors import ApiError
from fluxline_gateway.identity.keys import Principal

Scope: TypeAlias = Literal["read", "write", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ADMIN_PATH: Final = "/v1/admin"
KEY_PATH: Final = "/v1/keys/{key_id}"
_READING: Final = ("GET", "HEAD")


def needed(method: str, route: str) -> Scope:
    """The scope that a call needs; `route` is the template of its path."""
    if route == ADMIN_PATH or route.startswith(f"{ADMIN_PATH}/"):
        return "admin"
    return "read" if method in _READING else "write"


def gives_itself_up(principal: Principal, method: str, route: str, named: Mapping[str, object]) -> bool:
    """Whether a key revokes itself, which needs no scope: whoever has found one must be able to end it."""
    own = principal.key_id is not None and str(named.get("key_id")).lower() == str(principal.key_id)
    return own and method == "DELETE" and route == KEY_PATH


def require(principal: Principal, scope: Scope) -> None:
    """Raises `ApiError` 403 for who lacks the scope."""
    if not principal.may(scope):
        raise scope_missing(scope)


def scope_missing(scope: Scope, detail: str | None = None) -> ApiError:
    """The refusal, with the challenge of RFC 6750."""
    return ApiError(
        403,
        "Scope missing",
        category=ErrorCategory.AUTHENTICATION,
        hint=f"Use an API key with the scope {scope}.",
        detail=detail,
        headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
    )
