"""`make dashboards`: write deploy/grafana/dashboards and the rules of deploy/prometheus that are made from code."""

import json
from pathlib import Path
from typing import Any, Final

import yaml

from monitoring.boards import BOARDS
from monitoring.burn_rates import objective_rules

DEPLOY: Final = Path(__file__).parents[1]
HEADER: Final = "# Made from deploy/monitoring by `make dashboards`: do not edit.\n"


def documents() -> dict[Path, str]:
    """Each file that is made, and its text."""
    boards = DEPLOY / "grafana" / "dashboards"
    return {
        DEPLOY / "prometheus" / "rules" / "objectives.yml": _yaml(objective_rules()),
        **{boards / f"{board['uid']}.json": _json(board) for board in BOARDS},
    }


def main() -> None:
    """Write them."""
    for path, text in documents().items():
        path.write_text(text)


def _yaml(content: dict[str, Any]) -> str:
    return HEADER + yaml.dump(content, sort_keys=False, width=160, Dumper=_Dumper)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


class _Dumper(yaml.SafeDumper):
    """Several lines stay several lines; what is the same is written out."""

    def ignore_aliases(self, data: Any) -> bool:
        """No anchors: Prometheus reads them, people do not."""
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    main()
