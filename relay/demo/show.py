"""The whole demo as an object: the relay, the stand-ins around it, an Alertmanager, the story and the page."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from relay import logs
from relay.demo.ending import asked_to_end
from relay.demo.page import HOST, Page
from relay.demo.picture import Item
from relay.demo.programs import free_port
from relay.demo.scene import ANNA, CHANNEL, CHAT, Scene
from relay.demo.source import Address, Alert, RealAlertmanager, Source, StandInAlertmanager
from relay.demo.story import BROKEN, WARNING, Story, extra, storm

TOKEN = "demo-webhook-token"  # noqa: S105  it opens the demo on loopback alone
_STOP_WITHIN = 0.8
_OPEN_WITHIN = 120.0
_HURRIED = {"per_second": 5, "per_minute": 200}
"""Still too slow for a storm to be told one by one."""
_TITLE = "{{ words.level | capitalize }}: {{ (alerts | first).name }} · {{ labels.service }}"  # the worst comes first
_SUBJECT = {
    "en": "Call centre: {{ group_labels.service }} in trouble",
    "ru": "Колл-центр: неполадки {{ group_labels.service }}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What the user asked for. `pace` multiplies the story's pauses; `program` is an Alertmanager, None for none.

    `hurried`: the platforms take messages many times faster than the real ones, for those who cannot wait.
    """

    port: int = 0
    keep: bool = False
    story: bool = True
    language: Literal["en", "ru"] = "en"
    pace: float = 1.0
    program: str | None = None
    hurried: bool = False


class Show:
    """Owns every part of the demo. `start` opens the page, `open` all else; `stop` ends both in any state."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._parts = AsyncExitStack()
        self._telling: asyncio.Task[None] | None = None
        self._extras: list[Alert] = []
        self._listens = False
        self._ready = False
        self.folder = Path(tempfile.mkdtemp(prefix="relay-demo-"))
        self.page = Page(self)
        self.scene = Scene(plan.language, paced=not plan.hurried)
        self.source: Source = (
            RealAlertmanager(plan.program, self.folder / "alertmanager") if plan.program else StandInAlertmanager()
        )
        self.story = self._new_story()

    async def start(self) -> None:
        """Opens the page and the stand-ins. Raises `OSError` when the page's port is taken."""
        self._parts.callback(self._clean)
        self._parts.push_async_callback(self.page.stop)
        await self.page.start(self._plan.port)
        for part in (self.scene.telegram, self.scene.slack, self.scene.mail):
            self._parts.push_async_callback(part.stop)
            await part.start()

    async def open(self) -> None:
        """Starts Alertmanager and the relay, then the story. Raises `RuntimeError` or `OSError` with the reason."""
        from relay.app import Relay  # heavy: the page's address is printed first
        from relay.config import load

        relay_port = free_port()
        address = Address(f"http://{HOST}:{relay_port}", TOKEN)
        self._parts.push_async_callback(self.source.stop)
        await self.source.start(address)
        path = self.folder / "relay.yml"
        path.write_text(yaml.safe_dump(self._config(relay_port), sort_keys=False, allow_unicode=True), "utf-8")
        relay = Relay(load(path, {}))
        self._parts.push_async_callback(self._stop_relay, relay)
        await relay.start()
        self._listens = True
        telegram = self.scene.telegram
        await telegram.until(lambda: telegram.updates.polled, within=_OPEN_WITHIN)
        self._ready = True
        if self._plan.story:
            self.play()

    async def stop(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self._parts.aclose()

    # What the page shows and asks for

    @property
    def ready(self) -> bool:
        """Whether everything runs, the bot included."""
        return self._ready

    def status(self) -> Mapping[str, Any]:
        return {
            "ready": self._ready,
            "language": self._plan.language,
            "story": asdict(self.story.progress),
            "alertmanager": self.source.told,
            **self.scene.titles(),
        }

    def items(self) -> Mapping[str, Item]:
        return self.scene.items()

    def play(self) -> None:
        """Tells the story from its beginning, unless it is being told."""
        if self._ready and (self._telling is None or self._telling.done()):
            self.story = self._new_story()
            self._telling = asyncio.create_task(self.story.tell(), name="story")

    async def fire(self) -> None:
        """One more critical alert, for people to try the buttons on."""
        if self._ready:
            self._extras.append(extra(len(self._extras) + 1))
            await self.source.fire(self._extras[-1:])

    async def resolve(self) -> None:
        """Everything that the demo ever fired ends now; a story that is being told stops there."""
        if not self._ready:
            return
        if self._telling is not None and not self._telling.done():
            self._telling.cancel()
            await asyncio.wait([self._telling])
        await self.source.resolve([WARNING, *BROKEN, *storm(), *self._extras])
        self.story = self._new_story()

    def _new_story(self) -> Story:
        return Story(self.source, self.scene.telegram, CHAT, ANNA, pace=self._plan.pace)

    def _config(self, port: int) -> Mapping[str, Any]:
        scene = self.scene
        limits = _HURRIED if self._plan.hurried else {}
        common = {"language": self._plan.language, "timezone": "UTC", "reopen": "1s", "limits": limits}
        return {
            "server": {"listen": f"{HOST}:{port}", "auth": {"bearer_token": TOKEN}},
            "database": {"url": f"sqlite:///{self.folder / 'relay.db'}"},
            # What resolves while it is silenced is only seen by the poll; its alerts are not sent again, nothing settles.
            "alertmanagers": [{"name": "main", "urls": [self.source.url], "poll": "2s", "settle": "0s"}],
            "telegram": {"bot_token": scene.telegram.token, "api_url": scene.telegram.url},
            "slack": {"bot_token": scene.slack.token, "api_url": scene.slack.url, "limits": limits},
            "smtp": {
                "host": scene.mail.host,
                "port": scene.mail.port,
                "from": "Alerts <alerts@callcentre.example>",
                "tls": "none",
            },
            "channels": {
                "oncall-chat": {"type": "telegram", "chat_id": CHAT, "title": _TITLE, **common},
                "team-slack": {"type": "slack", "channel": f"#{CHANNEL}", "title": _TITLE, **common},
                "ops-mail": {
                    "type": "email",
                    "to": ["ops@callcentre.example"],
                    "subject": _SUBJECT[self._plan.language],
                    **common,
                },
            },
            "routes": [
                {"matchers": ['severity="critical"'], "channels": ["oncall-chat", "team-slack", "ops-mail"]},
                {"matchers": ['severity="warning"'], "channels": ["oncall-chat", "team-slack"]},
                {"channels": ["oncall-chat"], "silent": True},
            ],
            "users": [{"name": "anna", "telegram_id": ANNA, "role": "admin"}],
        }

    async def _stop_relay(self, relay: Any) -> None:
        """In order; at once if that takes too long for somebody who pressed Ctrl-C."""
        if not self._listens:  # stopped while it was starting
            await relay.stop()
            return
        relay.request_stop()
        ended = asyncio.create_task(relay.wait())
        _, late = await asyncio.wait([ended], timeout=_STOP_WITHIN if self._ready else 0.2)
        if late:
            relay.request_stop()
        await ended

    def _clean(self) -> None:
        if not self._plan.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


async def run(plan: Plan, tell: Callable[[str], None]) -> int:
    """The demo until it is asked to end; returns the exit code. `tell` prints a line for people."""
    logs.configure("warning", "logfmt")
    asked = asked_to_end()
    show = Show(plan)
    try:
        await show.start()
    except OSError as error:
        await show.stop()
        tell(f"cannot listen on {HOST}:{plan.port}: {error.strerror}")
        return 1
    tell(f"The demo is at {show.page.url}")
    waiting, opening = asyncio.create_task(asked.wait()), asyncio.create_task(show.open())
    try:
        await asyncio.wait([waiting, opening], return_when=asyncio.FIRST_COMPLETED)
        if opening.done() and opening.exception() is not None:
            tell(f"The demo cannot start: {opening.exception()}")
            return 1
        if opening.done():
            tell(show.source.told)
            tell("Nothing leaves this machine. Ctrl-C stops everything.")
            await waiting
        return 0
    finally:
        for task in (waiting, opening):
            task.cancel()
        await asyncio.wait([waiting, opening])
        await show.stop()
        if plan.keep:
            tell(f"Kept in {show.folder}")
        if asked.is_set() and not show.ready:  # a library is being imported in a thread, and nobody can stop that
            sys.stdout.flush()
            os._exit(0)
