"""The process's configuration of huggingface_hub: timeouts for every call, and no retries of refused ones."""

from typing import Final

import httpx2
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils.tqdm import disable_progress_bars

from fluxline_publisher.hub_errors import from_status

CONNECT_TIMEOUT_S: Final = 10.0


def configure_client(timeout_s: float) -> None:
    """Timeouts and no retries for every call; no Xet, whose native client knows neither (HF_HUB_DISABLE_XET=1)."""

    def make() -> httpx2.Client:
        return httpx2.Client(
            timeout=httpx2.Timeout(timeout_s, connect=CONNECT_TIMEOUT_S),
            follow_redirects=True,
            event_hooks={"response": [_raise_what_the_client_would_repeat]},
        )

    constants.HF_HUB_DISABLE_XET = True  # read at each upload; its variable only when the client is imported
    disable_progress_bars()
    set_client_factory(make)


def _raise_what_the_client_would_repeat(response: httpx2.Response) -> None:
    """429 and 5xx (up to five times), and a 409 on creating that is not "exists" (without end)."""
    conflict = response.status_code == httpx2.codes.CONFLICT and response.url.path.endswith("/api/repos/create")
    if not conflict and response.status_code != httpx2.codes.TOO_MANY_REQUESTS and response.status_code < 500:
        return
    response.read()
    if not (conflict and '"url"' in response.text):
        raise from_status(response, f"{response.request.method} {response.url.path}")
