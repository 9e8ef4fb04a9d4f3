"""`python -m grafana.build` writes every dashboard to `provisioning/dashboards/FOLDER/UID.json`, where Grafana reads them."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from grafana.source import bgw, callcenter, dmarket, reflexio, relay_analytics, relay_realtime, samokoder
from grafana.source.board import Board

DASHBOARDS = Path(__file__).parent / "provisioning" / "dashboards"


def boards() -> Sequence[Board]:
    return [
        relay_realtime.board(),
        relay_analytics.board(),
        callcenter.realtime(),
        callcenter.analytics(),
        samokoder.board(),
        bgw.board(),
        reflexio.board(),
        dmarket.board(),
    ]


def files() -> Mapping[Path, str]:
    """The text of every dashboard by the file that holds it."""
    return {DASHBOARDS / board.folder / f"{board.uid}.json": board.to_json() for board in boards()}


def main() -> None:
    """Writes the files that differ, and removes those that no dashboard stands for any more."""
    wanted = files()
    for path in DASHBOARDS.glob("*/*.json"):
        if path not in wanted:
            path.unlink()
            sys.stdout.write(f"removed {path.name}\n")
    for path, text in wanted.items():
        if not path.exists() or path.read_text() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            sys.stdout.write(f"wrote {path.name}\n")


if __name__ == "__main__":
    main()
