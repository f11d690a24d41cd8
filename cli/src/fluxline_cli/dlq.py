"""`fluxline dlq`: the messages that a service gave up on; look at them, replay or drop them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.markup import escape

from fluxline.runtime.bus import MessageRefused
from fluxline.runtime.dead_letters import BodyGone, DeadLetter, DeadLetters, NoSuchLetter
from fluxline.runtime.redaction import redact
from fluxline_cli.console import complain, console, print_json, run
from fluxline_cli.errors import Usage
from fluxline_cli.nats_queue import dead_letters

app = typer.Typer(help="Dead letters: messages that a service gave up on.", no_args_is_help=True)
Numbers = Annotated[list[int] | None, typer.Argument(metavar="NUMBER", help="As `list` shows it", show_default=False)]
AllOption = Annotated[bool, typer.Option("--all", help="All of them (of --durable) instead of single ones")]
DurableOption = Annotated[str | None, typer.Option(help="Only those that this consumer gave up on, like `trainer`")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else")]
Act = Callable[[DeadLetters, int], Awaitable[dict[str, Any]]]
_REFUSALS = (NoSuchLetter, BodyGone, MessageRefused)
"""Why one letter cannot be had, which says nothing of the others."""


@app.command("list")
def list_letters(
    durable: DurableOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000)] = 50,
    after: Annotated[int, typer.Option(min=0, help="Only letters above this number")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List dead letters, oldest first."""
    run(_list(durable, limit, after, as_json=as_json))


async def _list(durable: str | None, limit: int, after: int, *, as_json: bool) -> None:
    async with dead_letters() as letters:
        found = await letters.list(durable, limit=limit + 1, after=after)
    shown, more = found[:limit], len(found) > limit
    if as_json:
        print_json([_summary(letter) for letter in shown])
        return
    for letter in shown:
        _print_letter(letter)
    if not shown:
        console.print("no dead letters")
    if more:
        console.print(f"there are more: --after {shown[-1].sequence}", highlight=False)


@app.command()
def show(number: Annotated[int, typer.Argument(metavar="NUMBER")], as_json: JsonOption = False) -> None:
    """Show one dead letter with its message."""
    run(_show(number, as_json=as_json))


async def _show(number: int, *, as_json: bool) -> None:
    async with dead_letters() as letters:
        letter = await letters.get(number)
    shown = _summary(letter) | {"headers": redact(letter.headers), "body": _body(letter)}
    if as_json:
        print_json(shown)
        return
    body = shown.pop("body")
    headers = shown.pop("headers")
    for name, value in [*shown.items(), *headers.items()]:
        if value not in (None, ""):
            console.print(f"[bold]{escape(name):<16}[/] {escape(_line(value))}", highlight=False, soft_wrap=True)
    text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    console.print("\n".join(map(_line, text.splitlines())), highlight=False, markup=False, soft_wrap=True)


@app.command()
def replay(
    numbers: Numbers = None, everything: AllOption = False, durable: DurableOption = None, as_json: JsonOption = False
) -> None:
    """Publish the message of a dead letter again, and remove the letter. Twice is once."""
    run(_each(_replay, numbers, everything=everything, durable=durable, as_json=as_json))


async def _replay(letters: DeadLetters, number: int) -> dict[str, Any]:
    replayed = await letters.replay(number)
    return {"outcome": "already replayed" if replayed.repeated else "replayed", "event_sequence": replayed.sequence}


@app.command()
def drop(
    numbers: Numbers = None,
    everything: AllOption = False,
    durable: DurableOption = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask")] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove dead letters for good; what they tell of is not done."""
    if not yes:
        typer.confirm("Dropped letters cannot be replayed. Drop them?", abort=True, err=True)
    run(_each(_drop, numbers, everything=everything, durable=durable, as_json=as_json))


async def _drop(letters: DeadLetters, number: int) -> dict[str, Any]:
    await letters.drop(number)
    return {"outcome": "dropped"}


async def _each(act: Act, numbers: list[int] | None, *, everything: bool, durable: str | None, as_json: bool) -> None:
    """Do it to each letter; one that cannot be had is reported, and the command ends with status 1 after the rest."""
    if bool(numbers) == everything or (numbers and durable):
        raise Usage("say which: one or more NUMBERs, or --all (with --durable for those of one consumer)")
    async with dead_letters() as letters:
        if everything:  # before the first replay, or those that fail again would be replayed for ever
            numbers = [letter.sequence async for letter in letters.all(durable)]
        results = [await _one(act, letters, number, quiet=as_json) for number in numbers or []]
    if as_json:
        print_json(results)
    elif not results:
        console.print("no dead letters")
    if any(result["outcome"] == "failed" for result in results):
        raise typer.Exit(1)


async def _one(act: Act, letters: DeadLetters, number: int, *, quiet: bool) -> dict[str, Any]:
    try:
        result = {"sequence": number, **await act(letters, number)}
    except _REFUSALS as error:
        complain(error)
        return {"sequence": number, "outcome": "failed", "reason": error.message}
    if not quiet:
        console.print(f"{number} {result['outcome']}", highlight=False)
    return result


def _print_letter(letter: DeadLetter) -> None:
    """What was given up, by whom and when; below it why, as long as it may be."""
    head = f"{letter.durable}  {letter.subject}  {letter.attempts} tries  {letter.buried_at:%Y-%m-%d %H:%M:%S}"
    console.print(f"[bold]{letter.sequence}[/]  {escape(_line(head))}", highlight=False, soft_wrap=True)
    below = f"{letter.category}: {letter.reason}"
    for text in (below, f"training {letter.training_id}" if letter.training_id else ""):
        if text:
            console.print(f"   {escape(_line(text))}", highlight=False, style="dim", soft_wrap=True)


def _summary(letter: DeadLetter) -> dict[str, Any]:
    """What is said of a letter without its message."""
    facts = asdict(letter)
    del facts["headers"], facts["body"]
    summary: dict[str, Any] = redact(facts)
    return summary | {"buried_at": letter.buried_at.isoformat()}


def _body(letter: DeadLetter) -> Any:
    """The body as JSON where it is, as text where not."""
    if letter.body is None:
        return "(not in the stream any more)"
    try:
        return redact(json.loads(letter.body))
    except (ValueError, RecursionError):
        return redact(letter.body.decode(errors="replace"))


def _line(value: object) -> str:
    """Text that cannot move the cursor."""
    return "".join(char if char.isprintable() else " " for char in str(value))
