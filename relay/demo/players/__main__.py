"""`python -m relay.demo.players`: runs them, and `… incident SERVICE/ALERT [--end]` switches one of those that run."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

from relay.demo.ending import asked_to_end
from relay.demo.players.server import CONTROL_PORT, Players

_CONTROL = f"http://127.0.0.1:{CONTROL_PORT}"


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0, or 1 with the reason on stderr."""
    parser = argparse.ArgumentParser(prog="python -m relay.demo.players", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="export the metrics of the five systems, until Ctrl-C or SIGTERM")
    serve.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=int, default=CONTROL_PORT, help="of the switch; the systems take the next five")
    incident = commands.add_parser("incident", help="begin or end an incident; without a name list them")
    incident.add_argument("name", nargs="?", default="", metavar="SERVICE/ALERT")
    incident.add_argument("--end", action="store_true", help="all is well again")
    incident.add_argument("--at", default=_CONTROL, metavar="URL", help="where the players are (default: %(default)s)")
    given = parser.parse_args(arguments)
    try:
        if given.command == "serve":
            asyncio.run(_serve(given.host, given.port))
        else:
            _tell(_ask(given.at, given.name, end=given.end))
    except (OSError, LookupError) as error:
        sys.stderr.write(f"{error.strerror or error if isinstance(error, OSError) else error.args[0]}\n")
        return 1
    return 0


async def _serve(host: str, port: int) -> None:
    players = Players(host, first_port=port)
    asked = asked_to_end()
    await players.start()
    try:
        _tell("\n".join(f"{name}: {url}" for name, url in players.urls.items()))
        await asked.wait()
    finally:
        await players.stop()


def _ask(control: str, name: str, *, end: bool) -> str:
    """What the players answered. Raises `LookupError` for a name they do not know, `OSError` if nobody answers."""
    service, slash, alert = name.partition("/")
    if name and not (service and slash and alert and "/" not in alert):
        raise LookupError(f"{name!r} is no SERVICE/ALERT, such as samokoder/APIDown")
    path = f"/incident/{name}" if name else "/"
    request = urllib.request.Request(control + path, method=("DELETE" if end else "POST") if name else "GET")  # noqa: S310  http, and the user's own
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            found = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            raise LookupError(json.load(error).get("error", error.reason)) from None
    except urllib.error.URLError:
        raise OSError(0, f"no players at {control}: start them with `make stack` or `docker compose up`") from None
    if name:
        return f"{name}: {'ended' if end else 'begun'}"
    rows = (f"{one}/{alert}{'  (on)' if on else ''}" for one, alerts in found.items() for alert, on in alerts.items())
    return "\n".join(rows)


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
