"""`fluxline images`: photos that were uploaded; look at them, caption them, judge them as a set."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from fluxline_cli.calls import (
    IdArgument,
    JsonOption,
    LimitOption,
    TargetOption,
    YesOption,
    ask,
    ask_list,
    confirm,
    field,
    moment,
    print_facts,
    print_items,
    save,
    size,
)
from fluxline_cli.client import Json
from fluxline_cli.connection import connect
from fluxline_cli.console import console, print_json, run
from fluxline_cli.direct_uploads import upload_directly
from fluxline_cli.photos import find, upload_each

app = typer.Typer(help="Uploaded photos.", no_args_is_help=True)
COLUMNS = (
    ("id", field("id")),
    ("file", field("filename")),
    ("pixels", lambda image: f"{image['width']}x{image['height']}"),
    ("size", size("size_bytes")),
    ("remarks", lambda image: len(image["warnings"]) or ""),
)


@app.command()
def upload(
    photos: Annotated[list[Path], typer.Argument(help="Files or folders", show_default=False)],
    direct: Annotated[bool, typer.Option("--direct", help="Send the bytes straight to the storage")] = False,
    as_json: JsonOption = False,
) -> None:
    """Upload photos; each gets a verdict of its own. The same photo again is the same image."""
    verdicts = run(_upload(find(photos), direct=direct))
    if as_json:
        print_json(verdicts)
    else:
        _print_verdicts(verdicts)
    if not verdicts["accepted"]:
        raise typer.Exit(1)


async def _upload(paths: list[Path], *, direct: bool) -> Json:
    async with connect() as client:
        if direct:
            return await upload_directly(client, paths)
        answers = await upload_each(client, paths)
    return {kind: [verdict for answer in answers for verdict in answer[kind]] for kind in ("accepted", "rejected")}


def _print_verdicts(verdicts: Json) -> None:
    for image in verdicts["accepted"]:
        console.print(f"[green]✓[/] {image['id']}  {escape(image['filename'])}", highlight=False, soft_wrap=True)
        _print_remarks(image["warnings"])
    for file in verdicts["rejected"]:
        text = f"{escape(file['filename'])}: {escape(file['reason'])}"
        console.print(f"[yellow]✗[/] {text}", highlight=False, soft_wrap=True)


def _print_remarks(remarks: list[str]) -> None:
    for remark in remarks:
        console.print(f"  [yellow]![/] {escape(remark)}", highlight=False, soft_wrap=True)


@app.command("list")
def list_images(limit: LimitOption = 50, as_json: JsonOption = False) -> None:
    """List your images, newest first."""
    print_items(ask_list("/v1/images", limit), COLUMNS, as_json=as_json, empty="no images yet")


@app.command()
def show(image_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show one image's facts."""
    print_facts(ask("GET", f"/v1/images/{image_id}"), as_json=as_json)


@app.command()
def caption(
    image_id: IdArgument,
    text: Annotated[str, typer.Argument(help="What is in the picture; empty to remove the caption")],
    as_json: JsonOption = False,
) -> None:
    """Say what is in a picture; trainings use it as the picture's caption."""
    print_facts(ask("PATCH", f"/v1/images/{image_id}", {"caption": text or None}), as_json=as_json)


@app.command()
def review(
    image_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="The images of a set", show_default=False)],
    as_json: JsonOption = False,
) -> None:
    """Judge images as a set before they are trained on: duplicates, variety, sharpness."""
    found = ask("POST", "/v1/images/review", {"image_ids": image_ids})
    if as_json:
        print_json(found)
        return
    for image in found["images"]:
        console.print(f"{image['id']}  {escape(image['filename'])}", highlight=False, soft_wrap=True)
        _print_remarks(image["warnings"])
    _print_remarks(found["warnings"])
    console.print("[green]ready to train[/]" if found["ready"] else "[red]not ready to train[/]")


@app.command()
def download(image_id: IdArgument, output: TargetOption = None) -> None:
    """Save an image as it was uploaded."""
    image = ask("GET", f"/v1/images/{image_id}")
    save(f"/v1/images/{image_id}/content", output or Path(f"{image_id}.{image['format']}"))


@app.command()
def thumbnail(image_id: IdArgument, output: TargetOption = None) -> None:
    """Save an image's thumbnail, a JPEG of at most 512 pixels."""
    save(f"/v1/images/{image_id}/thumbnail", output or Path(f"{image_id}.thumbnail.jpg"))


@app.command()
def delete(image_id: IdArgument, yes: YesOption = False) -> None:
    """Delete an image and its bytes."""
    confirm(f"Delete image {image_id}?", yes=yes)
    ask("DELETE", f"/v1/images/{image_id}")
    console.print(f"image {image_id} is deleted", highlight=False)


@app.command("upload-state")
def upload_state(upload_id: IdArgument, as_json: JsonOption = False) -> None:
    """Show what of a direct upload has arrived."""
    found = ask("GET", f"/v1/images/uploads/{upload_id}")
    columns = (
        ("number", field("number")),
        ("file", field("filename")),
        ("size", size("size_bytes")),
        ("received", lambda file: bool(file["received"] or file["image"])),
    )
    if as_json:
        print_json(found)
        return
    print_items(found["files"], columns, as_json=False, empty="no files")
    console.print(f"may be completed until {moment('expires_at')(found)} UTC", highlight=False)


@app.command("complete-upload")
def complete_upload(upload_id: IdArgument, as_json: JsonOption = False) -> None:
    """Have the files of a direct upload judged; those that are missing may still be sent."""
    verdicts = ask("POST", f"/v1/images/uploads/{upload_id}/complete")
    if as_json:
        print_json(verdicts)
    else:
        _print_verdicts(verdicts)
