"""`fluxline models`: what trainings made, and the images on its card."""

from pathlib import Path
from typing import Annotated

import typer

from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    TargetOption,
    ask,
    ask_list,
    field,
    print_facts,
    print_items,
    save,
    size,
)
from fluxline_cli.generations import COLUMNS as GENERATION_COLUMNS

app = typer.Typer(help="Trained models.", no_args_is_help=True)
MODEL_COLUMNS = (
    ("id", field("id")),
    ("name", field("name")),
    ("trigger word", field("trigger_word")),
    ("size", size("size_bytes")),
    ("on the hub", lambda model: (model["huggingface"] or {}).get("repo")),
)


@app.command("list")
def list_models(limit: LimitOption = 20, as_json: JsonOption = False) -> None:
    """List your models, newest first."""
    print_items(ask_list("/v1/models", limit), MODEL_COLUMNS, as_json=as_json, empty="no models yet")


@app.command()
def show(model_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one model."""
    print_facts(ask("GET", f"/v1/models/{model_id}"), as_json=as_json)


@app.command()
def weights(
    model_id: IdArgument,
    output: TargetOption = None,
) -> None:
    """Save a model's weights, a .safetensors file."""
    save(f"/v1/models/{model_id}/weights", output or Path(f"{model_id}.safetensors"))


@app.command()
def samples(
    model_id: IdArgument,
    prompts: Annotated[list[str], typer.Argument(help="One to four, an image of each", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Make sample images for a published model's card on Hugging Face."""
    asked = ask("POST", f"/v1/models/{model_id}/samples", {"prompts": prompts})
    print_items(asked["generations"], GENERATION_COLUMNS, as_json=as_json, empty="")
