"""`fluxline api`: any call of the gateway, for what has no command of its own and for scripts."""

import json
import sys
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer

from fluxline_cli.connection import connect
from fluxline_cli.console import print_json, run
from fluxline_cli.errors import Usage

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def api(
    method: Annotated[str, typer.Argument(help="GET, POST, PATCH, PUT or DELETE")],
    path: Annotated[str, typer.Argument(help="Like /v1/trainings?status=failed")],
    fields: Annotated[
        list[str] | None,
        typer.Option("--field", "-f", help="`name=value` of the body; a value that is JSON is taken as JSON"),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input", help="A file with the JSON body; - for standard input")
    ] = None,
    paginate: Annotated[bool, typer.Option("--paginate", help="Follow the pages of a list to its end")] = False,
) -> None:
    """Call the gateway and print its answer."""
    method = method.upper()
    if method not in METHODS:
        raise typer.BadParameter(f"{method} is not one of {', '.join(METHODS)}")
    run(_api(method, "/" + path.lstrip("/"), _body(fields, input_file), paginate=paginate))


async def _api(method: str, path: str, body: Any, *, paginate: bool) -> None:
    headers = {"Accept": "application/json"} | ({"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {})
    items: list[Any] = []
    async with connect() as client:
        while True:
            options = {} if body is None else {"json": body}
            answer = await client.request(method, path, headers=headers, follow_redirects=False, **options)
            if not paginate:
                return _show(answer.content, answer.headers.get("content-type", ""))
            items += answer.json().get("items", [])
            following = answer.links.get("next")
            if not following:
                return print_json(items)
            path = following["url"]


def _show(content: bytes, content_type: str) -> None:
    if "json" in content_type and "ndjson" not in content_type:
        print_json(json.loads(content))
    else:
        sys.stdout.buffer.write(content)


def _body(fields: list[str] | None, input_file: Path | None) -> Any:
    """What to send: the fields, or a file's JSON; None for no body."""
    if fields and input_file:
        raise typer.BadParameter("give --field or --input, not both")
    if input_file:
        text = sys.stdin.read() if str(input_file) == "-" else input_file.read_text()
        try:
            return json.loads(text)
        except ValueError as error:
            raise typer.BadParameter(f"{input_file} holds no JSON ({error})") from None
    return dict(map(_field, fields or [])) or None


def _field(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise Usage(f"{text!r} is not name=value")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
