"""Which gateway a command talks to: FLUXLINE_URL and FLUXLINE_API_KEY, or the stack that runs here."""

import os

from fluxline_cli.client import Client
from fluxline_cli.errors import Usage
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.state import read_state


def connect() -> Client:
    """A client of that gateway; raises Usage or StackError with what to set or to start."""
    url, key = os.environ.get("FLUXLINE_URL"), os.environ.get("FLUXLINE_API_KEY")
    if url:
        if not key:
            raise Usage("FLUXLINE_URL is set but FLUXLINE_API_KEY is not: set it to a key of that gateway")
        return Client(url, key)
    state = read_state(Layout(default_home()))
    return Client(state.gateway_url, key or state.api_key)
