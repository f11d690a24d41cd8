"""The `fluxline` command."""

import typer

from fluxline_cli import up

app = typer.Typer(name="fluxline", help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False)
app.command()(up.up)


@app.callback()
def fluxline() -> None:
    """Photos in, a trained and published FLUX LoRA out."""


if __name__ == "__main__":
    app()
