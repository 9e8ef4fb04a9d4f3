"""`relay send-test`: one marked alert through everything, and what each channel made of it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from relay import logs
from relay.cli.arguments import ConfigOption, open_config
from relay.cli.output import complain, fail, say
from relay.cli.running import Refused, address_of, ask, base_url, listens, open_session
from relay.clock import Millis, system_clock, to_datetime
from relay.config import Config
from relay.routing import Router

if TYPE_CHECKING:
    import aiohttp

_LOOK_EVERY = 0.1
_CLEAR_WITHIN = 15.0
# Said at once although the relay goes on trying: only people can change them.
_HOPELESS = frozenset({"unauthorized", "forbidden", "not_found", "rejected", "template"})


def register(program: typer.Typer) -> None:
    program.command("send-test", epilog="Example: relay send-test --channel ops-mail --severity critical")(send_test)


def send_test(
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Report on this channel alone.")
    ] = None,
    severity: Annotated[str, typer.Option(help="The severity of the alert: the routes decide by it.")] = "critical",
    patience: Annotated[
        float, typer.Option("--timeout", min=1, max=600, metavar="SECONDS", help="How long to wait for the channels.")
    ] = 30.0,
    config: ConfigOption = None,
) -> None:
    """Send a marked test alert through the running relay (or one started for it), and tell what each channel did."""
    loaded = open_config(config)
    tree = loaded.config
    logs.configure("error", tree.log.format, secrets=tree.every_secret())
    labels = {
        "alertname": "RelayTest",
        tree.severity.label: severity,
        "relay_test": "true",
        "run": secrets.token_hex(4),  # each test is an incident of its own
    }
    wanted = _wanted(tree, channel, labels)
    if not asyncio.run(_Test(tree, labels, wanted, patience).run()):
        raise typer.Exit(1)


def _wanted(config: Config, channel: str | None, labels: Mapping[str, str]) -> Sequence[str]:
    """The channels to report on; ends the command when the alert would not get there."""
    source = config.alertmanagers[0].name if config.alertmanagers else ""
    router = Router(config.routes, config.severity.severity_map())
    reached = list(router.route(labels, receiver=_RECEIVER, alertmanager=source))
    if channel is not None and channel not in config.channels:
        fail([f"there is no channel {channel!r}; known: {', '.join(config.channels)}"])
    if channel is not None and channel not in reached:
        to = ", ".join(reached) or "nobody"
        fail(
            [f"the routes do not bring a test alert of this severity to {channel}, but to {to}: try another --severity"]
        )
    if not reached:
        fail(["no route wants a test alert of this severity: try another --severity, or `relay route`"])
    return [channel] if channel is not None else reached


_RECEIVER = "relay-send-test"


class _Test:
    """One test alert, from its webhook to its end."""

    def __init__(self, config: Config, labels: Mapping[str, str], wanted: Sequence[str], patience: float) -> None:
        self._config = config
        self._labels = labels
        self._wanted = wanted
        self._patience = patience
        self._starts = system_clock()

    async def run(self) -> bool:
        """Whether every channel took it."""
        async with open_session(self._config) as session:
            address = address_of(self._config)
            try:
                if await listens(address):
                    return await self._through(session, address)
                host, port = address
                say(f"nothing answers at {host}:{port}: a relay is started for this test", "dim")
                async with _own_relay(self._config) as own:
                    return await self._through(session, own)
            except Refused as refused:
                complain(str(refused))
                return False

    async def _through(self, session: aiohttp.ClientSession, address: tuple[str, int]) -> bool:
        base = base_url(address)
        group = (await self._post(session, base, None))["group"]
        began = asyncio.get_running_loop().time()
        waiting, good = list(self._wanted), True
        while waiting:
            late = asyncio.get_running_loop().time() - began > self._patience
            posts = await _posts(session, base, group)
            for name in tuple(waiting):
                verdict = _verdict(posts.get(name), late=late)
                if verdict is None:
                    continue
                waiting.remove(name)
                seconds = asyncio.get_running_loop().time() - began
                well, text = verdict
                kind = self._config.channels[name].type
                say(
                    f"{name} ({kind}): {text}" + (f" within {seconds:.1f} s" if well else ""),
                    "green" if well else "red",
                )
                good = good and well
            await asyncio.sleep(_LOOK_EVERY if waiting else 0)
        await self._post(session, base, system_clock())
        await self._clear(session, base, group)
        return good

    async def _clear(self, session: aiohttp.ClientSession, base: str, group: str) -> None:
        """Resolved, and shown as resolved where the alert was shown."""
        end = asyncio.get_running_loop().time() + _CLEAR_WITHIN
        while asyncio.get_running_loop().time() < end:
            posts = await _posts(session, base, group)
            mine = [post for name, post in posts.items() if name in self._wanted]
            if not any(post["state"] == "pending" and not post["reason"] for post in mine):
                say("resolved again")
                return
            await asyncio.sleep(_LOOK_EVERY)
        complain("resolved, but not every channel shows that yet", "yellow")

    async def _post(self, session: aiohttp.ClientSession, base: str, ends: Millis | None) -> Any:
        names = [one.name for one in self._config.alertmanagers]
        url = f"{base}/webhook/{names[0]}" if names else f"{base}/webhook"
        return await ask(session, "POST", url, json=_message(self._labels, self._starts, ends))


def _verdict(post: Mapping[str, Any] | None, *, late: bool) -> tuple[bool, str] | None:
    """Whether it went well and what to say; None while that is open."""
    if post is None:
        return (False, "the running relay does not route it here: does it run with this config?") if late else None
    why = f"{post['reason']}: {post['detail']}" if post["reason"] else ""
    if post["state"] == "shown":
        return (False, f"partly failed: {why}") if why else (True, "delivered")
    if post["state"] == "dead":
        return False, f"failed: {why or 'given up'}"
    if post["reason"] in _HOPELESS:
        return False, f"failed: {why}"
    return (False, f"not delivered in time: {why or 'still waiting its turn'}") if late else None


def _message(labels: Mapping[str, str], starts: Millis, ends: Millis | None) -> Mapping[str, Any]:
    status = "firing" if ends is None else "resolved"
    annotations = {"summary": "A test by relay send-test. Nothing is broken."}
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "startsAt": to_datetime(starts).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z" if ends is None else to_datetime(ends).isoformat(),
        "generatorURL": "",
    }
    return {
        "version": "4",
        "groupKey": f"relay send-test {labels['run']}",
        "truncatedAlerts": 0,
        "status": status,
        "receiver": _RECEIVER,
        "groupLabels": {"alertname": labels["alertname"]},
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [alert],
    }


@asynccontextmanager
async def _own_relay(config: Config) -> AsyncIterator[tuple[str, int]]:
    """A relay in this process, with the config's own database and a port of its own."""
    from relay.app import Relay
    from relay.store.database import StoreUnavailable

    alone = config.model_copy(update={"server": config.server.model_copy(update={"ops_listen": None})})
    relay = Relay(alone, listen="127.0.0.1:0")
    try:
        await relay.start()
        yield relay.address
    except (StoreUnavailable, OSError) as error:
        raise Refused(f"a relay cannot be started: {error}") from None
    finally:
        await relay.stop()


async def _posts(session: aiohttp.ClientSession, base: str, group: str) -> Mapping[str, Mapping[str, Any]]:
    found = await ask(session, "GET", f"{base}/api/posts", params={"group": group})
    return {one["channel"]: one for one in found["posts"]}
