"""`relay demo`: everything on this machine, with no account anywhere."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from relay.cli.output import say


def register(program: typer.Typer) -> None:
    program.command(epilog="Example: relay demo --port 8090")(demo)


def demo(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The page's port; 0 takes a free one.")] = 0,
    keep: Annotated[  # noqa: FBT002  a flag of the command
        bool, typer.Option("--keep", help="Keep the folder with the configs, the database and the logs.")
    ] = False,
    no_story: Annotated[  # noqa: FBT002  a flag of the command
        bool, typer.Option("--no-story", help="Only start the servers; the page can still play the story.")
    ] = False,
    language: Annotated[Literal["en", "ru"], typer.Option(help="The language of the page and the messages.")] = "en",
    pace: Annotated[float, typer.Option(min=0, max=10, hidden=True, help="Multiplies the story's pauses.")] = 1.0,
) -> None:
    """Show the relay with stand-ins for Telegram, Slack and mail on this machine: a page, and an incident on it."""
    import uvloop

    from relay.demo.show import Plan, run
    from relay.demo.source import find_alertmanager

    plan = Plan(port=port, keep=keep, story=not no_story, language=language, pace=pace, program=find_alertmanager())
    raise typer.Exit(uvloop.run(run(plan, say)))
