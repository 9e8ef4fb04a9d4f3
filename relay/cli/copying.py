"""`relay copy-database`: takes the whole state along when a team moves from SQLite to PostgreSQL, or back."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from relay.cli.output import fail, say
from relay.storage import DatabaseConfig

SourceArgument = Annotated[str, typer.Argument(metavar="FROM", help="sqlite:///relay.db, postgresql://… or @FILE.")]
TargetArgument = Annotated[str, typer.Argument(metavar="TO", help="The same; empty, or left by an interrupted copy.")]


def register(program: typer.Typer) -> None:
    example = "Example: relay copy-database sqlite:////data/relay.db @/run/secrets/database_url"
    program.command("copy-database", epilog=example)(copy_database)


def copy_database(source: SourceArgument, target: TargetArgument) -> None:
    """Copy the state to another database and check it by counts; an interrupted copy goes on where it stopped.

    Stop every relay first. @FILE reads an address from a file, so that its password shows in no list of processes.
    """
    from relay.store.sqlite import sqlite_path

    there, here = _config(source), _config(target)
    if there.url == here.url:
        fail(["FROM and TO are the same database"])
    if there.kind == "sqlite" and not Path(sqlite_path(there.url.get_secret_value())).is_file():
        fail([f"{source}: no such file"])
    asyncio.run(_copy(there, here))


def _config(text: str) -> DatabaseConfig:
    try:
        url = Path(text[1:]).read_text().strip() if text.startswith("@") else text
        return DatabaseConfig.model_validate({"url": url})
    except OSError as error:
        fail([f"{text[1:]}: {error.strerror}"])
    except ValidationError as error:
        fail(f"{'' if text.startswith('@') else 'an address '}{one['msg']}" for one in error.errors(include_url=False))


async def _copy(there: DatabaseConfig, here: DatabaseConfig) -> None:
    from relay.store.copying import CopyRefused, copy_database
    from relay.store.database import StoreUnavailable
    from relay.store.migrate import migrate
    from relay.store.opening import open_database

    source, target = (open_database(config, prepare=migrate) for config in (there, here))
    now: dict[str, int] = {}
    try:
        await source.open()
        await target.open()
        copied = await copy_database(source, target, lambda table, rows: now.update({table: now.get(table, 0) + rows}))
    except StoreUnavailable as error:
        fail([f"{error}; what was copied stays, run the same command again"])
    except CopyRefused as error:
        fail([str(error)])
    finally:
        await source.close()
        await target.close()
    for table, rows in copied.rows.items():
        earlier = f", {rows - now.get(table, 0)} of them earlier" if rows > now.get(table, 0) else ""
        say(f"{table}: {rows} rows{earlier}")
    say("copied; point database.url at the new one and start the relay")
