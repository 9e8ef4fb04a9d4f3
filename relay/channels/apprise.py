"""The Apprise channel: any of its services, through the optional extra `[apprise]`.

Apprise answers yes or no and keeps the reason to itself, so every failure is "server error, try again".
"""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from relay.channels.apprise_options import AppriseOptions
from relay.checked import Checked
from relay.clock import Millis
from relay.notification import AlertState, Capabilities, DeliveryError, IncidentView, Limits, Notice, Remote, Sent
from relay.notification_digest import DigestCall, DigestLayout, DigestView
from relay.rendering import Renderer
from relay.rendering.digest_summary import as_one_message
from relay.severity import Severity


def _imported() -> Any:
    """The library, if the extra is installed.

    It reads over a hundred plugins when it sees its first address, which takes a second: here, since this module is
    imported in a thread when such a channel is configured.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of its plugins, which nobody here can heed
            library = importlib.import_module("apprise")
            library.Apprise().add("json://localhost")
    except ImportError:
        return None
    return library


_apprise = _imported()
_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppriseContent:
    """A title and a plain text; `kind` is Apprise's notify type, which most services show as a colour."""

    title: str
    body: str
    kind: str

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(f"{self.kind}\0{self.title}\0{self.body}".encode(errors="replace")).hexdigest()

    @property
    def files(self) -> Mapping[str, bytes]:
        return {"message.txt": f"{self.title}\n\n{self.body}".encode(errors="replace")}


class AppriseChannel:
    """One Apprise address.

    Args:
        name: the channel's name in the config.
        options: its part of the config.
        renderer: turns notices into texts.
        seconds: how long one call may take.

    Raises `ValueError` if the extra is not installed, or if no service of it knows the address.
    """

    type = "apprise"
    capabilities = Capabilities(editable=False)

    def __init__(self, *, name: str, options: AppriseOptions, renderer: Renderer, seconds: float = _SECONDS) -> None:
        self.name = name
        self._options = options
        self._renderer = renderer
        self._seconds = seconds
        self._address = options.url.get_secret_value()
        self._apprise = self._loaded()

    @property
    def destination(self) -> str:
        """The service, and a fingerprint of the address, which holds the credentials."""
        return f"{self.account}:{hashlib.sha256(self._address.encode()).hexdigest()[:16]}"

    @property
    def account(self) -> str:
        return f"apprise:{self._address.partition(':')[0]}"

    @property
    def limits(self) -> Limits:
        """Whatever the service allows, more messages a minute nobody reads. The options go before."""
        return Limits(destination=self._options.limits.windows(per_minute=20))

    def overflows(self, view: IncidentView) -> bool:  # noqa: ARG002  the protocol's
        return False

    def render(self, notice: Notice) -> AppriseContent:
        view = notice.view
        kinds = {Severity.INFO: "info", Severity.WARNING: "warning"}
        over = "success" if all(alert.state is not AlertState.UNREPORTED for alert in view.alerts) else "info"
        return AppriseContent(
            title=" ".join((self._inline(notice) or self._render("title.txt.j2", notice)).split()),
            body=self._render("message.txt.j2", notice).strip(),
            kind=kinds.get(view.severity, "failure") if view.open else over,
        )

    async def send(self, content: AppriseContent) -> Sent:
        try:
            async with asyncio.timeout(self._seconds):
                sent = await self._apprise.async_notify(
                    title=content.title, body=content.body, notify_type=content.kind, body_format="text"
                )
        except TimeoutError:
            detail = f"{self.account} did not finish in time: it may have been sent"
            raise DeliveryError("timeout", detail, scope="destination") from None
        except Exception as error:  # noqa: BLE001  over a hundred services raise what they like, and quote addresses
            detail = f"{self.account} failed with {type(error).__name__}"
            raise DeliveryError("server_error", detail, scope="destination") from None
        if not sent:
            detail = f"{self.account} failed; Apprise does not say why (a wrong address or password looks the same)"
            raise DeliveryError("server_error", detail, scope="destination")
        return Sent(remote={})

    def lay_out(
        self,
        view: DigestView,
        now: Millis,
        *,
        plain: bool = False,  # noqa: ARG002  the protocol's
        before: DigestLayout | None = None,  # noqa: ARG002  the same
    ) -> DigestLayout:
        return as_one_message(view, now, self._options.language, self.render)

    async def send_digest(self, call: DigestCall) -> Sent:
        assert isinstance(call.content, AppriseContent)
        return await self.send(call.content)

    def follow(self, moved_to: Mapping[str, Any]) -> None:
        """Apprise tells of no moves."""

    def is_elsewhere(self, remote: Remote) -> bool:  # noqa: ARG002  the protocol's
        """Nothing lives on that could stay behind."""
        return False

    async def check(self) -> Checked:
        """The address was understood; more cannot be asked without sending."""
        return Checked(f"{self.account} is a known service; it is only tried by a message")

    async def close(self) -> None:
        """Apprise keeps nothing open."""

    def _loaded(self) -> Any:
        if _apprise is None:
            raise ValueError("type apprise needs the extra: pip install '.[apprise]' in a checkout")
        service = _apprise.Apprise()
        if not service.add(self._address):
            raise ValueError("url is no address that Apprise understands (https://appriseit.com/services)")
        return service

    def _inline(self, notice: Notice) -> str:
        options = self._options
        source = options.title or options.subject
        if not source:
            return ""
        return self._renderer.render_inline(source, notice, language=options.language, zone=options.zone)

    def _render(self, template: str, notice: Notice) -> str:
        options = self._options
        return self._renderer.render(
            f"apprise/{template}", notice, language=options.language, zone=options.zone, escape="none"
        )
