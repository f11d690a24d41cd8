"""The `fluxline` command."""

import typer

from fluxline_cli import debug, demo, keys, lists, train, up

app = typer.Typer(
    name="fluxline",
    help="Photos in, a trained and published FLUX LoRA out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (up.up, demo.demo, train.train, debug.debug, lists.trainings, lists.limits, lists.status):
    app.command()(command)
app.add_typer(keys.app, name="keys")


if __name__ == "__main__":
    app()
