"""`python -m fluxline_sandbox`: serve on SANDBOX_HOST and SANDBOX_PORT."""

from fluxline_sandbox.server import serve
from fluxline_sandbox.settings import Settings

if __name__ == "__main__":
    serve(Settings())
