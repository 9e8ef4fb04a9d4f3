"""`python -m bench [NAME …]`: runs the scenarios, prints one table, writes `bench/results.json`."""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import uvloop

from bench import bot, growth, kills, memory, outage, replicas, scenarios, storm
from bench.scenarios import Row
from relay import logs

ALL = {
    "start": scenarios.start_up,
    "ingest": scenarios.ingest,
    "simultaneous": scenarios.simultaneous,
    "latency": scenarios.latency,
    "large": scenarios.large_groups,
    "bot": bot.answers,
    "replicas": replicas.replicas,
    "storm": storm.storm,
    "kills": kills.random_kills,
    "outage": outage.outage,
    "memory": memory.memory,
    "growth": growth.growth,
}


async def run(names: list[str]) -> int:
    logs.configure("error", "logfmt")
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    print(f"{machine}\n")
    results: dict[str, object] = {"machine": machine}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            rows = await ALL[name](Path(folder))
            results[name] = [row.plain() for row in rows]
            for row in rows:
                print(line(row), flush=True)
                failed += row.met is False
    (Path(__file__).parent / "results.json").write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")
    return 1 if failed else 0


def line(row: Row) -> str:
    verdict = "" if row.met is None else "met" if row.met else "NOT MET"
    return f"{row.what:<40} {row.figure:>12}  {row.goal:<12} {verdict}".rstrip()


if __name__ == "__main__":
    chosen = sys.argv[1:] or list(ALL)
    if unknown := set(chosen) - set(ALL):
        sys.exit(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(ALL)}")
    sys.exit(uvloop.run(run(chosen)))
