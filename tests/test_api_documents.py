"""What is generated from the gateway's routes is committed as it would be generated now, and works for who uses it."""

import json

import pytest
import tree_sitter_typescript
from tree_sitter import Language, Parser

from api_documents import __main__ as generator
from api_documents import collect, commands, typescript


@pytest.fixture(scope="module")
def documents() -> dict[str, str]:
    """What is generated now, by the file's name."""
    return {path.relative_to(generator.DOCS).as_posix(): text for path, text in generator.documents().items()}


def test_every_generated_file_is_committed_as_it_is_generated(documents: dict[str, str]) -> None:
    assert {name for name, text in documents.items() if (generator.DOCS / name).read_text() != text} == set(), (
        "run `make docs`"
    )


def test_a_changed_document_is_announced_in_the_changelog() -> None:
    fingerprint = collect.fingerprint((generator.DOCS / "openapi.json").read_text())
    announced = collect.announced(generator.CHANGELOG.read_text())
    assert fingerprint in announced, (
        f"CHANGELOG.md, Unreleased, lacks a line: - API document `{fingerprint}`: what changed"
    )


def test_only_a_line_of_the_newest_section_that_says_something_counts() -> None:
    changelog = (
        "# Changelog\n\n## [Unreleased]\n\n- API document `0123456789ab`: more.\n- API document `ba9876543210`:\n"
        "\n## [0.1.0]\n\n- API document `aaaaaaaaaaaa`: all.\n"
    )
    assert collect.announced(changelog) == ["0123456789ab"]


def test_the_types_are_typescript_and_hold_every_call_and_schema(documents: dict[str, str]) -> None:
    document = json.loads(documents["openapi.json"])
    text = typescript.declarations(document)
    tree = Parser(Language(tree_sitter_typescript.language_typescript())).parse(text.encode())
    assert not tree.root_node.has_error
    for name in document["components"]["schemas"]:
        assert f"\nexport interface {name} {{" in text or f"\nexport type {name} = " in text
    for item in document["paths"].values():
        for operation in item.values():
            assert f"\n  {operation['operationId']}: {{\n    method: " in text


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "uuid"}, "string"),
        ({"type": "integer"}, "number"),
        ({"anyOf": [{"type": "integer"}, {"type": "number"}, {"type": "null"}]}, "number | null"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "enum": ["a", 'b"']}, '"a" | "b\\""'),
        ({"const": "a"}, '"a"'),
        ({"$ref": "#/components/schemas/Image"}, "Image"),
        ({"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}}, "Array<string | null>"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "Record<string, number>"),
        ({"type": "object"}, "Record<string, unknown>"),
        ({}, "unknown"),
        (
            {"type": "object", "properties": {"a-b": {"type": "string"}, "c": {"type": "null"}}, "required": ["c"]},
            '{\n  "a-b"?: string;\n  c: null;\n}',
        ),
    ],
)
def test_a_schema_becomes_a_type(schema: dict[str, object], expected: str) -> None:
    assert typescript.type_of(schema) == expected


def test_every_command_is_on_its_page_with_its_options_and_nothing_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch, documents: dict[str, str]
) -> None:
    for name, value in {"COLUMNS": "40", "FORCE_COLOR": "1", "FLUXLINE_HOME": "/elsewhere"}.items():
        monkeypatch.setenv(name, value)
    page = commands.markdown()
    assert page == documents["cli.md"]
    assert "\x1b" not in page
    for command in ("fluxline train PHOTOS... [OPTIONS]", "fluxline images show ID [OPTIONS]", "fluxline limits"):
        assert f"```\n{command}\n```" in page
    section = page.partition("## `fluxline trainings estimate`")[2].partition("\n## ")[0]
    assert "| `--steps NUMBER` | from 100 to 4000; `1000` if left out |" in section


def test_a_comment_cannot_end_early() -> None:
    text = typescript.declarations(
        {"components": {"schemas": {"A": {"type": "string", "description": "ends */ here"}}}, "paths": {}}
    )
    assert "/** ends * / here */\nexport type A = string;" in text
