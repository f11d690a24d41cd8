"""The `fluxline` command."""

from collections.abc import Callable

import typer

from fluxline_cli import (
    account,
    actions,
    alerts,
    api,
    debug,
    demo,
    dlq,
    generations,
    images,
    insights,
    keys,
    lists,
    logs,
    models,
    operations,
    train,
    trainings,
    up,
    webhooks,
)
from fluxline_cli.backup import command as backups

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
    logs.logs,
    generations.generate,
    lists.limits,
    lists.status,
    account.me,
    account.audit,
    api.api,
    backups.backup,
    backups.restore,
)
GROUPS = {
    "images": images.app,
    "trainings": trainings.app,
    "models": models.app,
    "generations": generations.app,
    "webhooks": webhooks.app,
    "keys": keys.app,
    "admin": operations.app,
    "insights": insights.app,
    "alerts": alerts.app,
    "dlq": dlq.app,
}
for command in COMMANDS:
    app.command()(command)
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


if __name__ == "__main__":
    app()
