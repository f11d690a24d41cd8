"""Who is calling the hub."""

import secrets

from fastapi import Request

from fluxline_sandbox.huggingface.errors import HubError
from fluxline_sandbox.sandbox import Sandbox


class Access:
    """One account with one write token; its owner is `SANDBOX_HUGGINGFACE_USERNAME`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.username = sandbox.settings.huggingface_username
        self._token = sandbox.settings.huggingface_api_token.get_secret_value()

    def authenticated(self, request: Request) -> bool:
        """Whether the token is the right one; none at all is a stranger, a wrong one is a 401."""
        header = request.headers.get("authorization")
        if header is None:
            return False
        scheme, _, given = header.partition(" ")
        if scheme.lower() != "bearer" or not secrets.compare_digest(given.encode(), self._token.encode()):
            raise _unauthorized(request)
        return True

    def require(self, request: Request) -> None:
        """The caller has the token; raises a 401 otherwise."""
        if not self.authenticated(request):
            raise _unauthorized(request)

    def require_owner(self, request: Request, repo_id: str) -> None:
        """The caller may write to the repository: it is in the account's own namespace."""
        self.require(request)
        if repo_id.partition("/")[0] != self.username:
            message = f'You don\'t have the rights to create a model under the namespace "{repo_id.partition("/")[0]}"'
            raise HubError(403, message)


def _unauthorized(request: Request) -> HubError:
    """401, which the client takes for a missing repository on a repository's URL.

    Over https it does so by the URL alone, over http only when the error code says so.
    """
    path = request.url.path
    of_a_repo = path.startswith("/hf/api/models/") or "/resolve/" in path
    return HubError(401, "Invalid username or password.", "RepoNotFound" if of_a_repo else None)
