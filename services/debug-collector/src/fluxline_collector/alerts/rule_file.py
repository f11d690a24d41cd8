"""Rules out of a TOML file, or those that fluxline brings along. What is wrong is said with the place it is at."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fluxline_collector.alerts.rules import RuleSet

DEFAULTS = Path(__file__).with_name("default_rules.toml")
SHOWN_PROBLEMS = 5


def rules_from(value: Any) -> RuleSet:
    """The rules of the file at a path. Raises ValueError, which names the file and what to change in it."""
    if isinstance(value, RuleSet):
        return value
    path = Path(str(value))
    try:
        return RuleSet.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no TOML: {error}") from error
    except ValidationError as error:
        raise ValueError(f"{path}: {_problems(error)}") from error


@cache
def default_rules() -> RuleSet:
    """The rules that hold where nobody has written any."""
    return rules_from(DEFAULTS)


def _problems(error: ValidationError) -> str:
    found = error.errors(include_url=False, include_input=False)
    said = [f"{_place(item['loc'])}: {item['msg'].removeprefix('Value error, ')}" for item in found[:SHOWN_PROBLEMS]]
    return "; ".join(said) + (f"; and {len(found) - len(said)} more" if len(found) > len(said) else "")


def _place(loc: tuple[int | str, ...]) -> str:
    """`rule 2, window`: rules are counted from 1; the kind, which pydantic puts between, is left out."""
    if len(loc) < 2 or loc[0] != "rules":
        return ".".join(map(str, loc)) or "the file"
    rest = ".".join(map(str, loc[3:]))
    return f"rule {int(loc[1]) + 1}" + (f", {rest}" if rest else "")
