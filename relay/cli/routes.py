"""`relay route`: explains which channels an alert reaches, and lets a user's own CI expect them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from relay.cli.arguments import ConfigOption, PayloadOption, open_config, read_message
from relay.cli.output import complain, fail, say
from relay.config import Config
from relay.matchers import Matcher, format_matchers
from relay.routing import Router, RouteTrace

_STYLES = {"matched": "green", "not matched": "", "skipped": "dim"}


@dataclass(frozen=True, slots=True)
class _Question:
    """The alerts to route and where they come from."""

    alerts: Sequence[Mapping[str, str]]
    receiver: str
    alertmanager: str


def register(program: typer.Typer) -> None:
    program.command(epilog="Example: relay route severity=critical alertname=DiskFull --expect oncall-chat,ops-mail")(
        route
    )


def _labels(pairs: Sequence[str]) -> dict[str, str]:
    labels = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name.strip()):
            raise typer.BadParameter(f"{pair!r} is no label=value", param_hint="LABEL=VALUE")
        labels[name.strip()] = value.strip().removeprefix('"').removesuffix('"')
    return labels


def _source(config: Config, name: str | None, external_url: str = "") -> str:
    """As the webhook endpoint finds it: named, the only one, or by the address people open."""
    known = [one.name for one in config.alertmanagers]
    if name is not None:
        if name not in known:
            raise typer.BadParameter(f"{name!r} is not in the config; known: {', '.join(known) or 'none'}")
        return name
    by_url = [one.name for one in config.alertmanagers if one.external_url == external_url.rstrip("/") != ""]
    return known[0] if len(known) == 1 else by_url[0] if by_url else ""


def route(  # the parameters are the command's options
    labels: Annotated[list[str] | None, typer.Argument(metavar="LABEL=VALUE", help="The labels of one alert.")] = None,
    config: ConfigOption = None,
    payload: PayloadOption = None,
    receiver: Annotated[str, typer.Option(help="The receiver of the alert given by labels.")] = "",
    alertmanager: Annotated[
        str | None, typer.Option(help="The Alertmanager it comes from, if there are several.")
    ] = None,
    expect: Annotated[
        str | None, typer.Option(metavar="CH1,CH2", help="Exit with 1 unless exactly these channels are reached.")
    ] = None,
) -> None:
    """Explain routing: per alert each route in order, matched or not and why, and the channels chosen."""
    if bool(labels) == bool(payload):
        raise typer.BadParameter("give the labels of one alert (severity=critical …) or --payload FILE, one of the two")
    tree = open_config(config).config
    if payload:
        message = read_message(payload)
        source = _source(tree, alertmanager, message.external_url)
        question = _Question([alert.labels for alert in message.alerts], message.receiver_name, source)
    else:
        question = _Question([_labels(labels or [])], receiver, _source(tree, alertmanager))
    chosen = _explain(tree, question)
    say(f"channels: {', '.join(chosen) or 'none'}", "bold")
    if expect is not None:
        _compare(tree, set(chosen), {name.strip() for name in expect.split(",") if name.strip()})


def _explain(config: Config, question: _Question) -> list[str]:
    """Prints what happens to each alert and returns the channels of all, in the config's order."""
    router = Router(config.routes, config.severity.severity_map())
    reached: set[str] = set()
    for labels in question.alerts:
        say(format_matchers(Matcher(name, value) for name, value in sorted(labels.items())), "bold")
        for trace in router.explain(labels, receiver=question.receiver, alertmanager=question.alertmanager):
            say(_trace_line(trace), _STYLES[trace.outcome])
        verdict = router.route(labels, receiver=question.receiver, alertmanager=question.alertmanager)
        reached |= set(verdict)
        names = [f"{name} (silent)" if verdict[name] else name for name in config.channels if name in verdict]
        say(f"  reaches {', '.join(names)}" if names else "  reaches nobody", "" if names else "yellow")
    return [name for name in config.channels if name in reached]


def _trace_line(trace: RouteTrace) -> str:
    extra = " (silent)" if trace.route.silent else ""
    goes_on = ", continues" if trace.outcome == "matched" and trace.route.continue_ else ""
    to = f" -> {', '.join(trace.route.channels)}{extra}{goes_on}" if trace.outcome == "matched" else ""
    return f"  route {trace.number}: {trace.outcome}: {trace.why}{to}"


def _compare(config: Config, reached: set[str], expected: set[str]) -> None:
    unknown = sorted(expected - set(config.channels))
    if unknown:
        fail([f"--expect names channels that are not in the config: {', '.join(unknown)}"])
    if reached == expected:
        say("as expected", "green")
        return
    for what, names in (("missing", expected - reached), ("not expected", reached - expected)):
        if names:
            complain(f"{what}: {', '.join(sorted(names))}")
    raise typer.Exit(1)
