"""`fluxline cancel`, `fluxline retry`, `fluxline delete`: what an owner decides about a training."""

import sys
from typing import Annotated

import httpx
import typer
from rich.markup import escape

from fluxline_cli.client import Client, Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.errors import ApiProblem
from fluxline_cli.job import watch
from fluxline_cli.train import raise_unless_completed

TrainingId = Annotated[str, typer.Argument(metavar="ID", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="Print the training as JSON and nothing else")]


def cancel(training_id: TrainingId, as_json: JsonOption = False) -> None:
    """Stop a training; what it has cost so far stays."""
    run(_cancel(training_id, as_json=as_json))


async def _cancel(training_id: str, *, as_json: bool) -> None:
    async with connect() as client:
        _tell(await client.cancel_training(training_id), as_json=as_json)


def retry(
    training_id: TrainingId,
    follow: Annotated[bool, typer.Option("--follow", help="Watch the training to its end")] = False,
    as_json: JsonOption = False,
) -> None:
    """Let a failed training go on from the stage that failed, with what it has."""
    run(_retry(training_id, follow=follow, as_json=as_json))


async def _retry(training_id: str, *, follow: bool, as_json: bool) -> None:
    console.quiet = as_json
    async with connect() as client:
        training = await client.retry_training(training_id)
        if follow:
            training = await watch(client, training_id)
        _tell(training, as_json=as_json)
        if follow:
            raise_unless_completed(training)


def delete(
    training_id: TrainingId,
    keep_repository: Annotated[
        bool, typer.Option("--keep-repository", help="Leave the model on Hugging Face as it is")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
) -> None:
    """Delete a training with its model and images; one that runs is canceled first."""
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("deleting needs --yes")
        typer.confirm(f"Delete training {training_id} with everything it made?", abort=True)
    run(_delete(training_id, keep_repository=keep_repository))


async def _delete(training_id: str, *, keep_repository: bool) -> None:
    async with connect() as client:
        running = await _deleted(client, training_id, keep_repository=keep_repository)
    word = "is being canceled, and then deleted" if running else "is deleted"
    console.print(f"training {escape(training_id)} {word}", highlight=False, soft_wrap=True)


async def _deleted(client: Client, training_id: str, *, keep_repository: bool) -> bool:
    """Whether the training has to stop first. It was there a moment ago: "not found" is a lost answer's success."""
    await client.training(training_id)
    try:
        return await client.delete_training(training_id, keep_repository=keep_repository)
    except ApiProblem as problem:
        if problem.status != httpx.codes.NOT_FOUND:
            raise
        return False


def _tell(training: Json, *, as_json: bool) -> None:
    if as_json:
        print_json(training)
    else:
        console.print(f"training {training['id']}: {training['status']}", highlight=False, soft_wrap=True)
