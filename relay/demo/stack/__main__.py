"""`python -m relay.demo.stack`, which is `make stack` in a checkout: starts the stack, says where it is, stops it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from relay import logs
from relay.config import ConfigError
from relay.demo.ending import asked_to_end
from relay.demo.programs import find_program
from relay.demo.source import ALERTMANAGERS
from relay.demo.stack.plan import Plan, Ports, free_ports
from relay.demo.stack.shipped import Shipped
from relay.demo.stack.stack import Stack
from relay.demo.stack.stand_ins import every_alert


def main(arguments: Sequence[str] | None = None) -> int:
    """The exit code: 0 after a signal, 1 with the reasons on stderr when it cannot start."""
    parser = argparse.ArgumentParser(prog="python -m relay.demo.stack", description=__doc__)
    parser.add_argument(
        "--config", type=Path, help="the relay's config with accounts of your own, instead of stand-ins"
    )
    parser.add_argument("--shipped-rhythm", action="store_true", help="minutes last minutes, as in the shipped rules")
    parser.add_argument("--play", default="", metavar="SERVICE/ALERT", help="tell this incident as soon as all runs")
    parser.add_argument("--free-ports", action="store_true", help="any ports instead of the usual ones")
    parser.add_argument("--keep", action="store_true", help="keep the folder with configs, databases and logs")
    given = parser.parse_args(arguments)
    logs.configure("warning", "logfmt")
    prometheus, alertmanager = find_program("prometheus"), find_program(*ALERTMANAGERS)
    ports = free_ports() if given.free_ports else Ports()
    reasons = [
        *(f"{name} is missing: this runs in a checkout" for name in Shipped(Path()).missing()),
        *([] if prometheus else ["Prometheus is not installed: run `make servers`"]),
        *([] if alertmanager else ["Alertmanager is not installed: run `make servers`"]),
        *ports.taken(),
        *_unplayable(given.play, own=given.config is not None),
    ]
    if reasons or not (prometheus and alertmanager):
        return _complain(*reasons)
    plan = Plan(
        root=Path(),
        ports=ports,
        prometheus=prometheus,
        alertmanager=alertmanager,
        config=given.config,
        quick=not given.shipped_rhythm,
        play=given.play,
        keep=given.keep,
    )
    try:
        asyncio.run(_run(Stack(plan), plan))
    except (ConfigError, OSError, RuntimeError) as error:
        return _complain(str(error))
    return 0


def _unplayable(name: str, *, own: bool) -> list[str]:
    if not name:
        return []
    if own:
        return ["--play needs the stand-ins: leave out --config, or begin the incident by `make incident`"]
    known = {"/".join(one) for one in every_alert()}
    return [] if name in known else [f"there is no incident {name!r}; `make incident` lists them"]


async def _run(stack: Stack, plan: Plan) -> None:
    asked = asked_to_end()
    waiting, starting = asyncio.create_task(asked.wait()), asyncio.create_task(stack.start())
    try:
        await asyncio.wait([waiting, starting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
            _welcome(stack, plan)
            await waiting
    finally:
        for task in (waiting, starting):
            task.cancel()
        await asyncio.wait([waiting, starting])
        await stack.stop()
        if plan.keep:
            _tell(f"Kept in {stack.folder}")


def _welcome(stack: Stack, plan: Plan) -> None:
    told = {
        "page": "Telegram, Slack and mail as people see them; you are Anna",
        "prometheus": "rules and targets",
        "alertmanager": "groups and silences",
        "relay": "/health says what each channel last did",
        "players": "the five systems",
    }
    for name, text in told.items():
        if name in stack.urls:
            _tell(f"{name:13} {stack.urls[name]:24} {text}")
    at = "" if plan.ports == Ports() else f" AT={stack.urls['players']}"
    _tell(f"\nmake incident NAME=samokoder/APIDown{at}        begins one; END=1 ends it; without a name all are listed")
    if plan.quick:
        _tell("A minute of the rules lasts a second here, a day 20 s; RHYTHM=shipped leaves them as they are.")
    _tell("Ctrl-C stops everything.")
    if stack.stand_ins is not None and plan.play:
        stack.stand_ins.tell(*plan.play.split("/"))


def _complain(*reasons: str) -> int:
    sys.stderr.write("".join(f"{reason}\n" for reason in reasons))
    return 1


def _tell(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
