"""`fluxline generate`, `fluxline generations`: images made with trained models, or with the base model."""

from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from fluxline.contracts import limits
from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    TargetOption,
    ask,
    ask_list,
    field,
    moment,
    plain,
    print_facts,
    print_items,
    save,
)
from fluxline_cli.client import Json, wait_until_ended
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.errors import TrainingFailed, Usage

app = typer.Typer(help="Images made with models.", no_args_is_help=True)
COLUMNS = (
    ("id", field("id")),
    ("status", field("status")),
    ("created (UTC)", moment("created_at")),
    ("provider", field("provider")),
    ("prompt", lambda generation: generation["parameters"]["prompt"]),
)


def generate(
    prompt: Annotated[str, typer.Argument(help="What to show; the trigger word is added when absent")],
    model: Annotated[UUID | None, typer.Option(help="The model to use; without it the base model")] = None,
    aspect_ratio: Annotated[str, typer.Option(help="Like 16:9")] = limits.ASPECT_RATIOS[0],
    num_outputs: Annotated[int, typer.Option(min=limits.NUM_OUTPUTS[0], max=limits.NUM_OUTPUTS[1])] = 1,
    lora_scale: Annotated[float, typer.Option(help="How strongly the model's subject shows")] = (
        limits.DEFAULT_LORA_SCALE
    ),
    inference_steps: Annotated[int, typer.Option(help="More steps, more detail")] = limits.DEFAULT_INFERENCE_STEPS,
    guidance_scale: Annotated[float, typer.Option(help="How closely the prompt is followed")] = (
        limits.DEFAULT_GUIDANCE_SCALE
    ),
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same image", show_default=False)] = None,
    output_format: Annotated[str, typer.Option(help="webp, jpg or png")] = limits.OUTPUT_FORMATS[0],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the images")] = Path(),
    wait: Annotated[bool, typer.Option(help="Wait for the images and save them")] = True,
    as_json: JsonOption = False,
) -> None:
    """Make images with a trained model, or with the base model."""
    body: Json = {
        "prompt": prompt,
        "aspect_ratio": aspect_ratio,
        "num_outputs": num_outputs,
        "lora_scale": lora_scale,
        "num_inference_steps": inference_steps,
        "guidance_scale": guidance_scale,
        "seed": seed,
        "output_format": output_format,
    }
    path = f"/v1/models/{model}/generations" if model else "/v1/generations"
    generation = ask("POST", path, body)
    if not wait:
        print_facts(generation, as_json=as_json)
        return
    generation = run(_finished(generation["id"]))
    saved = run(_save_images(generation, output))
    if as_json:
        print_json(generation | {"files": saved})
        return
    for line in told(generation):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    for file in saved:
        console.print(f"saved {file}", highlight=False, markup=False, soft_wrap=True)


def told(generation: Json) -> list[str]:
    """Who made the images, with which seed, and which providers declined before."""
    lines = [f"{each['provider']} declined ({each['category']}): {each['message']}" for each in generation["refusals"]]
    if generation["provider"]:
        seed = "" if generation["seed"] is None else f", seed {generation['seed']}"
        lines.append(f"made by {generation['provider']}{seed}")
    return [plain(line) for line in lines]


async def _finished(generation_id: str) -> Json:
    async with connect() as client:
        generation = await wait_until_ended(client, f"/v1/generations/{generation_id}")
    if generation["status"] == "canceled":
        raise Usage("the generation was canceled")
    if generation["status"] != "succeeded":
        raise TrainingFailed("generation", generation["error"])
    return generation


async def _save_images(generation: Json, folder: Path) -> list[str]:
    targets = []
    async with connect() as client:
        for number, image in enumerate(generation["images"], 1):
            suffix = generation["parameters"]["output_format"]
            target = folder / f"{generation['id']}-{number}.{suffix}"
            await client.download(image["url"], target)
            targets.append(str(target))
    return targets


@app.command("list")
def list_generations(
    model: Annotated[UUID | None, typer.Option(help="Only those with this model", show_default=False)] = None,
    status: Annotated[str | None, typer.Option(help="Only those with this status", show_default=False)] = None,
    limit: LimitOption = 20,
    as_json: JsonOption = False,
) -> None:
    """List generations, newest first."""
    found = ask_list("/v1/generations", limit, model_id=model, status=status)
    print_items(found, COLUMNS, as_json=as_json, empty="no generations yet")


@app.command("show")
def show_generation(generation_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one generation, with links to its images."""
    print_facts(ask("GET", f"/v1/generations/{generation_id}"), as_json=as_json)


@app.command("download")
def download_images(
    generation_id: IdArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the images")] = Path(),
) -> None:
    """Save the images of a generation."""
    for file in run(_save_images(ask("GET", f"/v1/generations/{generation_id}"), output)):
        console.print(f"saved {file}", highlight=False, markup=False, soft_wrap=True)


@app.command("image")
def save_image(
    generation_id: IdArgument,
    index: Annotated[int, typer.Argument(min=0, help="Its place among the images, from 0")] = 0,
    output: TargetOption = None,
) -> None:
    """Save one image of a generation."""
    save(f"/v1/generations/{generation_id}/images/{index}", output or Path(f"{generation_id}-{index + 1}.image"))


@app.command("cancel")
def cancel_generation(generation_id: IdArgument, as_json: JsonOption = False) -> None:
    """Stop a generation."""
    generation = ask("POST", f"/v1/generations/{generation_id}/cancel")
    if as_json:
        print_json(generation)
        return
    state = "canceling" if generation["canceling"] else generation["status"]
    console.print(f"generation {generation['id']}: {state}", highlight=False, soft_wrap=True)


@app.command("estimate")
def estimate_generation(
    num_outputs: Annotated[int, typer.Option(min=limits.NUM_OUTPUTS[0], max=limits.NUM_OUTPUTS[1])] = 1,
    as_json: JsonOption = False,
) -> None:
    """Say what images would cost, and what that assumes."""
    found = ask("POST", "/v1/generations/estimate", {"prompt": "any", "num_outputs": num_outputs})
    if as_json:
        print_json(found)
        return
    console.print(f"cost  ${found['cost_usd']:.4g}", highlight=False)
    for text in (*found["assumptions"], *found["warnings"]):
        console.print(f"  · {text}", highlight=False, markup=False, soft_wrap=True)
