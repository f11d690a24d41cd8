"""`fluxline demo`: the whole product once, on a stack of its own: photos in, a published model and an image out."""

from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fluxline_cli.client import Client, Json, wait_until_ended
from fluxline_cli.console import console, run
from fluxline_cli.errors import TrainingFailed, Usage
from fluxline_cli.job import watch
from fluxline_cli.photos import find
from fluxline_cli.signals import stop_on_signals, until
from fluxline_cli.stack.layout import Layout, default_home
from fluxline_cli.stack.stack import Stack
from fluxline_cli.stack.state import StackState
from fluxline_cli.startup import StartProgress
from fluxline_cli.train import raise_unless_completed, start

TRIGGER_WORD = "FLXDEMO"
PROMPT = f"a photo of {TRIGGER_WORD} on a beach at sunset"
BODY = {
    "name": "Fluxline demo",
    "trigger_word": TRIGGER_WORD,
    "publish": {"enabled": True, "private": True, "accept_license": True},
}


def demo(
    photos: Annotated[list[Path] | None, typer.Argument(help="Folders or files [default: sample photos]")] = None,
    home: Annotated[Path | None, typer.Option(help="Where it keeps everything [default: .fluxline/demo]")] = None,
    sandbox: Annotated[
        bool, typer.Option(help="Use the sandbox, which costs nothing; --no-sandbox uses your keys, and money")
    ] = True,
) -> None:
    """Train on photos, publish the model, generate an image with it, and clean up."""
    layout = Layout(home.absolute() if home else default_home() / "demo")
    run(_demo(photos or [], layout, sandbox=sandbox))


async def _demo(paths: list[Path], layout: Layout, *, sandbox: bool) -> None:
    given = find(paths) if paths else []
    stop = stop_on_signals()
    async with Stack(layout, auto_ports=True, sandbox=sandbox) as stack:
        console.print(f"providers: {stack.providers.describe()}", highlight=False, soft_wrap=True)
        with StartProgress(stack):
            if not await until(stop, stack.start()):
                raise Usage("interrupted")
        assert stack.state  # noqa: S101  # start() returned
        if not await until(stop, _show_product(stack.state, given)):
            raise Usage("interrupted")
        console.print("stopping …")


async def _show_product(state: StackState, photos: list[Path]) -> None:
    console.print(f"studio: {state.studio_url} (sign in with the api_key of {state.home}/stack.json)", soft_wrap=True)
    async with Client(state.gateway_url, state.api_key) as client:
        with as_file(files("fluxline_cli") / "samples") as samples:
            chosen = photos or [path for path in find([samples]) if path.suffix != ".py"]
            training = await start(client, chosen, BODY)
        training = await watch(client, training["id"])
        raise_unless_completed(training)
        image = await _generate(client, training, Path(state.home))
        _print_results(state, training, image, await _weights_file(client, training, Path(state.home)))


async def _generate(client: Client, training: Json, home: Path) -> Path:
    """One image of the new model, saved below the home."""
    with console.status("generating an image …"):
        created = await client.create_generation(
            training["result"]["model_id"], {"prompt": PROMPT, "output_format": "png"}
        )
        generation = await wait_until_ended(client, f"/v1/generations/{created['id']}")
    if generation["status"] != "succeeded":
        raise TrainingFailed("generation", generation.get("error"))
    image = _results(home) / f"{training['id']}.png"
    await client.download(generation["images"][0]["url"], image)
    return image


async def _weights_file(client: Client, training: Json, home: Path) -> Path:
    """The model's weights, saved below the home."""
    target = _results(home) / f"{training['id']}.safetensors"
    await client.download(training["result"]["weights_url"], target)
    return target


def _results(home: Path) -> Path:
    folder = home / "results"
    folder.mkdir(exist_ok=True)
    return folder


def _print_results(state: StackState, training: Json, image: Path, weights: Path) -> None:
    hub = (training.get("result") or {}).get("huggingface")
    if not hub:
        raise Usage("the training has completed, but its model was not published: see `fluxline debug`")
    results = {
        "model": hub["url"],
        "commit": hub["commit"],
        "weights": weights,
        "image": image,
        "look again": f"fluxline up --ports auto --home {state.home}",
        "and then": f"FLUXLINE_HOME={state.home} fluxline debug {training['id']}",
    }
    console.print("[bold green]✓[/] photos in, a published model and an image out", highlight=False)
    for name, value in results.items():
        console.print(f"  [bold]{name:<11}[/]{escape(str(value))}", highlight=False, soft_wrap=True)
