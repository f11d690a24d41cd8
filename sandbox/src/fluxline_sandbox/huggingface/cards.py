"""The YAML at the head of a README.md."""

import re
from typing import Any

import yaml

_FRONT_MATTER = re.compile(r"\A(?:\ufeff)?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)


class CardError(Exception):
    """The metadata block is not valid; the message says why."""


def metadata(readme: str) -> dict[str, Any] | None:
    """The metadata of a card, None when there is none; raises CardError for YAML that is not a mapping."""
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return None
    try:
        found = yaml.safe_load(match[1])
    except yaml.YAMLError as error:
        raise CardError(f"YAML Metadata Error: {error}") from error
    if found is not None and not isinstance(found, dict):
        raise CardError("YAML Metadata Error: must be an object")
    return found


def findings(readme: str) -> tuple[list[str], list[str]]:
    """(errors, warnings) as the hub's validation names them."""
    try:
        found = metadata(readme)
    except CardError as error:
        return [str(error)], []
    if not found:
        return [], ["empty or missing yaml metadata in repo card"]
    errors = [
        f'"{name}" must be a string' for name in ("pipeline_tag", "library_name") if not _text(found.get(name, ""))
    ]
    tags = found.get("tags", [])
    if not isinstance(tags, list) or not all(_text(tag) for tag in tags):
        errors.append('"tags" must be an array of strings')
    if found.get("license") == "other" and not found.get("license_name"):
        errors.append('"license_name" is required when "license" is "other"')
    return errors, []


def _text(value: Any) -> bool:
    return isinstance(value, str)
