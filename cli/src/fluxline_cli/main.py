"""The `fluxline` command."""

from collections.abc import Callable

import typer

from fluxline_cli import actions, debug, demo, dlq, keys, lists, train, up

app = typer.Typer(
    name="fluxline",
    help="Photos in, a trained and published FLUX LoRA out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
COMMANDS: tuple[Callable[..., None], ...] = (
    up.up,
    demo.demo,
    train.train,
    actions.cancel,
    actions.retry,
    actions.delete,
    debug.debug,
    lists.trainings,
    lists.limits,
    lists.status,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(dlq.app, name="dlq")
app.add_typer(keys.app, name="keys")


if __name__ == "__main__":
    app()
