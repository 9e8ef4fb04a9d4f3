"""The command line: parses arguments, prints for people, and leaves all work to the rest.

Commands import what they need when they run, so that `version`, `check` and `route` start without the bot's libraries.
"""

from __future__ import annotations

import typer

from relay.cli import checking, copying, deliveries, demo, describing, rendering, routes, serving, testing


def create_program() -> typer.Typer:
    """All commands as one program."""
    program = typer.Typer(
        name="relay",
        help="Brings Prometheus Alertmanager's alerts to the people on call, and their answers back.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    serving.register(program)
    checking.register(program)
    rendering.register(program)
    routes.register(program)
    testing.register(program)
    deliveries.register(program)
    copying.register(program)
    demo.register(program)
    describing.register(program)
    return program
