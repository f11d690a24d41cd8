"""`make docs`: write all that is generated from the gateway's routes, from the commands and from the metrics.

Ends with 1 if the changelog lacks what changed for clients of the API.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from api_documents import collect, commands, metrics, reference, typescript

DOCS = Path(__file__).parents[1]
CHANGELOG = DOCS.parent / "CHANGELOG.md"


def documents() -> dict[Path, str]:
    """Each generated file and its text."""
    made = collect.gateway_document()
    with TemporaryDirectory() as folder:
        shown = metrics.markdown(Path(folder))
    return {
        DOCS / "metrics.md": shown,
        DOCS / "openapi.json": collect.as_text(made),
        DOCS / "api.md": reference.markdown(made),
        DOCS / "cli.md": commands.markdown(),
        DOCS / "clients" / "typescript" / "fluxline.d.ts": typescript.declarations(made),
    }


def main() -> int:
    """Write the files; says what the changelog has to."""
    texts = documents()
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    fingerprint = collect.fingerprint(texts[DOCS / "openapi.json"])
    if fingerprint in collect.announced(CHANGELOG.read_text()):
        return 0
    print(f"CHANGELOG.md has to say what changed for clients:\n- API document `{fingerprint}`: …", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
