"""`python -m fluxline_cli`: the `fluxline` command where no script is installed."""

from fluxline_cli.main import app

app(prog_name="fluxline")
