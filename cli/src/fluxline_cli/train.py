"""`fluxline train`: photos in, a training out, watched to its end."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from fluxline.contracts.limits import DEFAULT_STEPS, STEPS
from fluxline_cli.client import Client, Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.errors import TrainingFailed, Usage
from fluxline_cli.job import watch
from fluxline_cli.photos import Verdict, captions, find, upload, usable
from fluxline_cli.trainings import print_estimate

LICENSE_URL = "https://huggingface.co/black-forest-labs/FLUX.1-dev/blob/main/LICENSE.md"


def train(
    photos: Annotated[list[Path], typer.Argument(help="Folders or files: 5 to 20 photos", show_default=False)],
    name: Annotated[str, typer.Option(help="What the model is called")],
    trigger_word: Annotated[str, typer.Option(help="The word in a prompt that stands for what is in the photos")],
    steps: Annotated[int, typer.Option(min=STEPS[0], max=STEPS[1])] = DEFAULT_STEPS,
    publish: Annotated[bool, typer.Option(help="Publish the model on Hugging Face")] = True,
    accept_license: Annotated[
        bool, typer.Option("--accept-license", help="Accept the licence of FLUX.1-dev, which published models carry")
    ] = False,
    public: Annotated[bool, typer.Option("--public", help="Publish for everybody, not privately")] = False,
    sample: Annotated[
        list[str] | None,
        typer.Option(help="The prompt of an image for the model card; up to four times", show_default=False),
    ] = None,
    follow: Annotated[bool, typer.Option(help="Watch the training to its end")] = True,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Start without asking")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the training as JSON and nothing else")] = False,
) -> None:
    """Train a LoRA on photos and publish it."""
    if publish and not accept_license:
        accept_license = _ask_for_license()
    options: Json = {"enabled": publish, "private": not public, "accept_license": accept_license}
    if sample:
        options["sample_prompts"] = sample
    body = {"name": name, "trigger_word": trigger_word, "steps": steps, "publish": options}
    ask = not yes and not as_json and console.is_terminal and sys.stdin.isatty()
    run(_train(photos, body, follow=follow, ask=ask, as_json=as_json))


def _ask_for_license() -> bool:
    if not (console.is_terminal and sys.stdin.isatty()):
        raise typer.BadParameter("publishing needs --accept-license, or --no-publish")
    return typer.confirm(f"Published models carry the licence of FLUX.1-dev ({LICENSE_URL}). Accept it?", abort=True)


async def _train(paths: list[Path], body: Json, *, follow: bool, ask: bool, as_json: bool) -> None:
    console.quiet = as_json
    async with connect() as client:
        training = await start(client, find(paths), body, ask=ask)
        console.print(f"training {training['id']}", highlight=False)
        if follow:
            training = await watch(client, training["id"])
        if as_json:
            print_json(training)
        if follow:
            raise_unless_completed(training)


async def start(client: Client, photos: list[Path], body: Json, *, ask: bool = False) -> Json:
    """Upload the photos, say what is wrong with them and what it will cost, and ask for the training.

    A text file beside a photo is its caption. Raises Usage with too few photos; typer.Abort when the answer is no.
    """
    with console.status(f"uploading {len(photos)} photos …"):
        verdicts = await upload(client, photos, show)
    accepted = usable(verdicts)
    console.print(f"{len(accepted)} of {len(photos)} photos are used", highlight=False)
    order = {**body, "image_ids": accepted}
    if given := {image_id: text for image_id, text in captions(verdicts).items() if image_id in accepted}:
        order["captions"] = given
        console.print(f"{len(given)} captions from text files", highlight=False)
    print_estimate(await client.estimate(order))
    if ask:
        typer.confirm("Start the training?", default=True, abort=True)
    return await client.create_training(order)


def show(verdict: Verdict) -> None:
    """A line for a refused photo, and for each remark on one that is taken."""
    lines = [f"! {verdict.path.name}: {text}" for text in verdict.warnings]
    if not verdict.image_id:
        lines.append(f"✗ {verdict.path.name}: {verdict.reason}")
    for line in lines:
        console.print(line, style="yellow", highlight=False, markup=False, soft_wrap=True)


def raise_unless_completed(training: dict[str, Any]) -> None:
    """TrainingFailed with what the training says of its end, unless it went well."""
    if training["status"] == "canceled":
        raise Usage("the training was canceled")
    if training["status"] != "completed":
        raise TrainingFailed("training", training.get("error"))
