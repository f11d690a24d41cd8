"""Every alert has its page, every page its alert, and what a page tells to do can be done."""

import re
import shlex
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

import promql_parser as promql
import pytest
import yaml
from typer.main import get_command

from fluxline_cli.main import app

from . import shipped

PAGES: Final = sorted(page for page in shipped.RUNBOOKS.glob("*.md") if page.name != "README.md")
INDEX: Final = (shipped.RUNBOOKS / "README.md").read_text()
COMPOSE: Final = yaml.safe_load((shipped.ROOT / "docker-compose.yml").read_text())["services"]
SECTIONS: Final = ["What users notice", "Look first", "Causes and remedies", "When to escalate"]
STANDS_FOR: Final = {"ID": "7a1a1a60-0000-4000-8000-000000000001", "NUMBER": "17", "VERSION": "1.2.3"}


def commands() -> list[tuple[str, str]]:
    """Page and command of everything that a page tells to run: in blocks, and in the text."""
    found = []
    for page in [*PAGES, shipped.RUNBOOKS / "README.md"]:
        text = page.read_text()
        blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
        inline = re.findall(r"`((?:fluxline|docker) [^`…]+)`", text)
        found += [(page.stem, line) for block in blocks for line in block.splitlines()]
        found += [(page.stem, line) for line in inline]
    return list(dict.fromkeys(found))


def severities(alert: str) -> list[str]:
    return sorted({rule["labels"]["severity"] for rule in shipped.alerts() if rule["alert"] == alert})


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    alerts = {rule["alert"] for rule in shipped.alerts()}
    assert {page.stem for page in PAGES} == alerts
    assert set(re.findall(r"^\| \[(\w+)\]\(\1\.md\)", INDEX, re.MULTILINE)) == alerts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_says_what_it_means_where_to_look_and_what_to_do(page: Path) -> None:
    text = page.read_text()
    assert re.findall(r"^# (.*)", text, re.MULTILINE) == [page.stem]
    assert re.findall(r"^## (.*)", text, re.MULTILINE) == SECTIONS
    told = ", ".join(severities(page.stem))
    assert f"\nSeverity: {told}\n" in text
    assert f"[{page.stem}]({page.name}) | {told} |" in INDEX


@pytest.mark.parametrize("page", [*PAGES, shipped.ROOT / "docs" / "slo.md"], ids=lambda page: page.stem)
def test_a_link_leads_somewhere_and_a_query_is_promql(page: Path) -> None:
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert [link for link in links if not (page.parent / link.partition("#")[0]).exists()] == []
    for query in re.findall(r"```promql\n(.*?)```", text, re.DOTALL):
        promql.parse(query)


@pytest.mark.parametrize("page,command", commands(), ids=lambda text: text)  # noqa: PT006
def test_a_command_exists(page: str, command: str) -> None:
    words = shlex.split(command)
    if words[0] == "fluxline":
        parse([STANDS_FOR.get(word, word) for word in words[1:]])
    elif words[:2] == ["docker", "compose"]:
        named = set(services_of(words[2:]))
        assert named <= COMPOSE.keys(), page
    else:
        assert words[0] in ("docker", "df"), page


def parse(words: list[str]) -> None:
    """Parse a command of ours as it would be run; raises when it, an option or a value does not exist."""
    command: Any = get_command(app)
    names = ["fluxline"]
    while children := getattr(command, "commands", None):
        if not words and command.invoke_without_command:
            return
        names.append(words[0])
        command, words = children[words[0]], words[1:]
    command.make_context(" ".join(names), words)


def services_of(words: list[str]) -> list[str]:
    """Which services a command of Compose names; what follows the first of `exec` and `run` is theirs."""
    verb, rest = words[0], [word for word in words[1:] if not word.startswith("-")]
    scaled = [word.partition("=")[0] for word in rest if "=" in word]
    if verb in ("exec", "run"):
        if rest[0] == "fluxline":
            parse([STANDS_FOR.get(word, word) for word in words[words.index("fluxline") + 1 :]])
        return rest[:1]
    plain = takewhile(lambda word: word != "…", (word for word in rest if "=" not in word and not word.isdigit()))
    return [*scaled, *plain]


def test_a_command_that_does_not_exist_is_found() -> None:
    for wrong in ("dlq burn", "dlq show", "insights stages --colour red", "logs ID --level"):
        with pytest.raises(Exception, match=r"burn|number|colour|level"):
            parse(wrong.split())
