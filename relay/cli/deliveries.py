"""`relay deliveries`: what waits, what was given up and why; tries it again or lets it be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer

from relay import logs
from relay.cli.arguments import ConfigOption, open_config
from relay.cli.output import complain, say
from relay.cli.running import Refused, address_of, ask, base_url, listens, open_session
from relay.clock import system_clock
from relay.config import Config
from relay.ids import LARGEST_ID

if TYPE_CHECKING:
    import aiohttp

    from relay.store.database import Database

Found = Mapping[str, Any]
"""A delivery as `relay.server.deliveries` describes it."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print a list of JSON objects.")]
Ids = Annotated[list[str], typer.Argument(metavar="ID", help="As `relay deliveries list` prints it.")]


class StateOption(StrEnum):
    """What `--state` takes."""

    pending = "pending"
    dead = "dead"


def register(program: typer.Typer) -> None:
    group = typer.Typer(no_args_is_help=True, help="What waits and what was given up: list, show, retry, discard.")
    for command, example in (
        (list_, "list --state dead"),
        (show, "show 836412960131252224"),
        (retry, "retry 836412960131252224"),
        (discard, "discard 836412960131252224"),
    ):
        group.command(command.__name__.rstrip("_"), epilog=f"Example: relay deliveries {example}")(command)
    program.add_typer(group, name="deliveries", epilog="Example: relay deliveries list --state dead")


def list_(
    *,
    state: Annotated[StateOption | None, typer.Option(help="Only these.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """List what waits for its channel and what was given up, the oldest first."""
    found = _run(config, lambda source: source.list(state.value if state else None))
    if as_json:
        _print_json(found)
    elif not found:
        say("nothing waits" if state == "pending" else "nothing was given up" if state else "all is delivered", "green")
    else:
        for line, one in zip(_table(found), found, strict=True):
            say(line, "red" if one["state"] == "dead" else "")


def show(ids: Ids, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Show what a delivery is about, and what keeps it."""
    _each(config, ids, lambda source, id_: source.show(id_), as_json=as_json)


def retry(ids: Ids, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Try it again now: a dead letter lives again, and its channel's pause ends."""
    _each(config, ids, lambda source, id_: source.change(id_, "retry"), as_json=as_json, done="is tried again")


def discard(ids: Ids, *, as_json: JsonOption = False, config: ConfigOption = None) -> None:
    """Let it be: what happens next in that incident is told again."""
    _each(config, ids, lambda source, id_: source.change(id_, "discard"), as_json=as_json, done="is discarded")


class _Source(Protocol):
    """Where deliveries are asked for: the running relay, or its database while none runs."""

    async def list(self, state: str | None) -> Sequence[Found]: ...

    async def show(self, id_: str) -> Found: ...

    async def change(self, id_: str, what: str) -> Found: ...  # both raise `Refused`


class _Running:
    """The relay that runs."""

    def __init__(self, session: aiohttp.ClientSession, base: str) -> None:
        self._session = session
        self._url = f"{base}/api/deliveries"

    async def list(self, state: str | None) -> Sequence[Found]:
        found: Found = await ask(self._session, "GET", self._url, params={"state": state} if state else {})
        return list(found["deliveries"])

    async def show(self, id_: str) -> Found:
        found: Found = await ask(self._session, "GET", f"{self._url}/{_checked(id_)}")
        return found

    async def change(self, id_: str, what: str) -> Found:
        found: Found = (await ask(self._session, "POST", f"{self._url}/{_checked(id_)}/{what}"))["delivery"]
        return found


class _Resting:
    """The database of a relay that does not run; its next start carries on with what is changed here."""

    def __init__(self, database: Database, types: Mapping[str, str]) -> None:
        self._database = database
        self._types = types

    async def list(self, state: str | None) -> Sequence[Found]:
        from relay.server.deliveries import describe
        from relay.store.deliveries import list_deliveries

        return [describe(one, self._types) for one in await self._database.read(list_deliveries, state)]

    async def show(self, id_: str) -> Found:
        from relay.server.deliveries import describe_contents
        from relay.store.deliveries import show_delivery

        found = await self._database.read(show_delivery, _number(id_))
        if found is None:
            raise Refused(f"there is no delivery {id_}, or it has arrived meanwhile")
        return describe_contents(found, self._types)

    async def change(self, id_: str, what: str) -> Found:
        from relay.server.deliveries import describe
        from relay.store.deliveries import discard_delivery, retry_delivery

        number = _number(id_)
        if what == "retry":
            found = await self._database.write(retry_delivery, number, system_clock())
        else:
            found = await self._database.write(discard_delivery, number)
        if found is None:
            raise Refused(f"there is no delivery {id_}, or it has arrived meanwhile")
        return describe(found, self._types)


def _number(id_: str) -> int:
    return min(int(_checked(id_)), LARGEST_ID)


def _checked(id_: str) -> str:
    if not (id_.isascii() and id_.isdigit() and len(id_) < 20):
        raise Refused(f"{id_!r} is no id: `relay deliveries list` prints them")
    return id_


def _run(path: Path | None, question: Callable[[_Source], Awaitable[Any]]) -> Any:
    """The answer; ends the command with 1 and the reason if there is none."""
    tree = open_config(path).config
    logs.configure("error", tree.log.format, secrets=tree.every_secret())

    async def answered() -> Any:
        async with _open(tree) as source:
            return await question(source)

    try:
        return asyncio.run(answered())
    except Refused as refused:
        complain(str(refused))
        raise typer.Exit(1) from None


def _each(
    path: Path | None,
    ids: Sequence[str],
    act: Callable[[_Source, str], Awaitable[Found]],
    *,
    as_json: bool,
    done: str = "",
) -> None:
    """Does it to every id that there is; exits with 1 if one of them is none."""

    async def act_on_all(source: _Source) -> list[Found | str]:
        found: list[Found | str] = []
        for id_ in ids:
            try:
                found.append(await act(source, id_))
            except Refused as refused:
                found.append(str(refused))
        return found

    answers = _run(path, act_on_all)
    good = [one for one in answers if not isinstance(one, str)]
    if as_json:
        _print_json(good)
    else:
        for one in good:
            _describe(one, done)
    for problem in (one for one in answers if isinstance(one, str)):
        complain(problem)
    if len(good) < len(answers):
        raise typer.Exit(1)


@asynccontextmanager
async def _open(config: Config) -> AsyncIterator[_Source]:
    address = address_of(config)
    if await listens(address):
        async with open_session(config) as session:
            yield _Running(session, base_url(address))
        return
    async with _open_database(config) as database:
        yield _Resting(database, {name: options.type for name, options in config.channels.items()})


@asynccontextmanager
async def _open_database(config: Config) -> AsyncIterator[Database]:
    from relay.store.database import Database, StoreUnavailable
    from relay.store.opening import open_database

    if (missing := _missing_file(config)) is not None:
        raise Refused(f"no relay answers at {config.server.listen}, and there is no database {missing} yet")
    database = Database(open_database(config.database))
    try:
        await database.start()
        yield database
    except StoreUnavailable as error:
        raise Refused(
            f"no relay answers at {config.server.listen}, and its database is not to be had: {error}"
        ) from None
    finally:
        await database.close()


def _missing_file(config: Config) -> Path | None:
    """An embedded database that nobody has made yet: to look for deliveries must not make one."""
    from relay.store.sqlite import sqlite_path

    path = Path(sqlite_path(config.database.url.get_secret_value()))
    return path if config.database.kind == "sqlite" and not path.exists() else None


def _print_json(found: Sequence[Found]) -> None:
    typer.echo(json.dumps(list(found), ensure_ascii=False, indent=2))


def _table(found: Sequence[Found]) -> list[str]:
    rows = [
        (
            one["id"],
            one["state"],
            f"{one['channel']} ({one['type'] or 'not in the config'})",
            one["group"],
            f"{one['alerts']} alert{'' if one['alerts'] == 1 else 's'}",
            f"since {_minute(one['since'])}",
            _why(one),
        )
        for one in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _describe(one: Found, done: str) -> None:
    if done:
        say(f"{one['id']}: {one['channel']}, group {one['group']}: {done}", "green")
        return
    lines = {
        "id": one["id"],
        "channel": f"{one['channel']} ({one['type'] or 'not in the config'})",
        "state": f"{one['state']} since {_minute(one['since'])}",
        "reason": _why(one) or "none: it waits its turn",
        "attempts": one["attempts"],
        "group": f"{one['group']} of {one['alertmanager']}",
        "alerts": f"{one['alerts']}: {', '.join(one['names'])}",
        "incident": f"{'open' if one['open'] else 'over'}, began {_minute(one['opened_at'])}",
        "shown": "an older state" if one["shown"] else "nothing yet",
    }
    if one["due_at"]:
        lines["due"] = _minute(one["due_at"])
    for name, text in lines.items():
        say(f"{name + ':':10}{text}")


def _why(one: Found) -> str:
    return ": ".join(text for text in (one["reason"], one["detail"]) if text)


def _minute(iso: str | None) -> str:
    return f"{iso[:16].replace('T', ' ')} UTC" if iso else "?"
