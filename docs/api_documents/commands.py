"""The `fluxline` command in Markdown, from the commands themselves; nothing of it depends on a terminal."""

import inspect
from collections.abc import Iterator
from enum import Enum
from typing import Any, Final, TypeAlias, get_args

from typer.main import get_command

from fluxline_cli.main import app

Command: TypeAlias = Any
"""A command or a group, as Typer makes them of functions; its own classes for them are private."""
Parameter: TypeAlias = Any

HEADER: Final = "<!-- Generated from the commands by `make docs`: do not edit. -->\n"
_OF_TYPER: Final = frozenset({"--help", "--install-completion", "--show-completion"})
_VALUES: Final = {"str": "TEXT", "int": "NUMBER", "float": "NUMBER", "datetime": "TIME", "UUID": "ID"}


def markdown() -> str:
    """The reference as one page: an overview, then each command with its arguments and options."""
    root = get_command(app)
    commands = list(_commands(root, str(root.name)))
    rows = [f"| [`{path}`](#{_anchor(path)}) | {_cell(_summary(command))} |\n" for path, command in commands]
    head = f"# The `fluxline` command\n\n{_text(root)}\n\n| command | does |\n|---|---|\n{''.join(rows)}"
    return "\n".join([HEADER, head, *(_section(path, command) for path, command in commands)])


def _commands(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    """Whatever can be run, in the order of the help, with the words it is called by."""
    children: dict[str, Command] = getattr(command, "commands", {})
    if not children or command.invoke_without_command:
        yield path, command
    for name, child in children.items():
        if not child.hidden:
            yield from _commands(child, f"{path} {name}")


def _section(path: str, command: Command) -> str:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    options = [item for item in command.params if item not in arguments and not _OF_TYPER & set(item.opts)]
    usage = " ".join([path, *map(_place, arguments), *(["[OPTIONS]"] if options else [])])
    rows = [f"| `{_value(item)}` | {_cell(_meaning(item))} |\n" for item in arguments if item.help]
    rows += [f"| {_cell(_spellings(item))} | {_cell(_meaning(item))} |\n" for item in options]
    table = f"\n\n| | |\n|---|---|\n{''.join(rows)}" if rows else "\n"
    return f'<a id="{_anchor(path)}"></a>\n## `{path}`\n\n```\n{usage}\n```\n\n{_text(command)}{table}'


def _place(argument: Parameter) -> str:
    shown = _value(argument).removesuffix("...") + ("..." if argument.nargs == -1 else "")
    return shown if argument.required else f"[{shown}]"


def _spellings(option: Parameter) -> str:
    """`--name TEXT`, `-n`: the value once, after the longest spelling; what turns a switch off comes last."""
    names = [*sorted(option.opts, key=len, reverse=True), *option.secondary_opts]
    value = "" if option.is_flag else f" {_value(option)}"
    return ", ".join(f"`{name}{value if name == names[0] else ''}`" for name in names)


def _value(parameter: Parameter) -> str:
    """What stands for its value: the metavar, an argument's name, or the kind of value."""
    if parameter.metavar or parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name.upper()).strip("[]")
    annotation = parameter.type_descriptor.annotation
    [kind] = get_args(annotation) or [annotation]
    if issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return str(_VALUES.get(kind.__name__, kind.__name__.upper()))


def _meaning(parameter: Parameter) -> str:
    """Its help, and what follows from its type."""
    said = [parameter.help or ""]
    bounds = [getattr(parameter, name, None) for name in ("min", "max")]
    if None not in bounds:
        said.append("from {} to {}".format(*bounds))
    if parameter.param_type_name == "option" and parameter.required:
        said.append("required")
    elif _is_worth_saying(parameter.default):
        said.append(f"`{parameter.default}` if left out")
    elif parameter.default is True and parameter.secondary_opts:
        said.append(f"`{parameter.opts[0]}` if left out")
    return "; ".join(filter(None, said))


def _is_worth_saying(default: object) -> bool:
    """A text or a number; anything else may depend on the machine."""
    return isinstance(default, str | int | float) and not isinstance(default, bool) and default != ""


def _text(command: Command) -> str:
    return inspect.cleandoc(command.help or "")


def _summary(command: Command) -> str:
    return _text(command).partition("\n\n")[0]


def _anchor(path: str) -> str:
    return path.replace(" ", "-")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
