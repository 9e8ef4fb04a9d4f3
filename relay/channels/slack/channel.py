"""The Slack channel: addresses, limits, and the one remote call of each notice, by the bot or an incoming webhook."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from pydantic import SecretStr

from relay.channels.slack.client import TIMEOUT, SlackClient
from relay.channels.slack.composer import LISTED, Composer
from relay.channels.slack.content import SlackContent
from relay.channels.slack.digest import DigestComposer
from relay.channels.slack.errors import nonsense, of_former_place, of_this_post, refusal
from relay.channels.slack_options import SlackConfig, SlackOptions
from relay.checked import KNOWN, Checked
from relay.clock import Millis
from relay.notification import Capabilities, Content, DeliveryError, IncidentView, Kind, Limits, Notice, Remote, Sent
from relay.notification_digest import DigestCall, DigestLayout, DigestView
from relay.rendering import Renderer

_ID = re.compile(r"[CGD][A-Z0-9]{7,}")
_PAGES = 20  # of 1,000 channels each, when a channel is looked up by its name


class SlackChannel:
    """A `relay.notification.Channel`. `remote` is {"channel": id, "ts": …} of the living message, {"webhook": True} of one.

    Args:
        name: the channel's name in the config.
        options: its part of the config.
        config: the section `slack`; its token is needed unless the channel has a webhook.
        renderer: turns notices into texts.
        session: shared by all channels and left open; without one the channel opens its own when it first sends.
        timeout: seconds for one request.
    """

    type = "slack"

    def __init__(
        self,
        name: str,
        options: SlackOptions,
        *,
        config: SlackConfig,
        renderer: Renderer,
        session: aiohttp.ClientSession | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        if options.webhook_url is None and config.bot_token is None:
            raise ValueError("a Slack channel needs slack.bot_token or a webhook_url of its own")
        self.name = name
        self._options = options
        self._config = config
        self._composer = Composer(renderer, options)
        self._digests = DigestComposer(renderer, options, appending=options.webhook_url is not None)
        self._client = SlackClient(session=session, timeout=timeout)
        self._channel_id = options.channel if options.channel and _ID.fullmatch(options.channel) else None
        self._no_files = False

    @property
    def capabilities(self) -> Capabilities:
        by_bot = self._webhook is None
        return Capabilities(editable=by_bot, attachable=by_bot and not self._no_files, removes=1)

    @property
    def destination(self) -> str:
        if self._webhook is not None:  # the address is the secret: only its hash may be shown
            return f"slack-webhook:{hashlib.sha256(self._webhook.get_secret_value().encode()).hexdigest()[:12]}"
        return f"{self.account}/{str(self._options.channel).lstrip('#')}"

    @property
    def account(self) -> str:
        return self.destination if self._webhook is not None else f"slack:{urlsplit(self._config.api_url).netloc}"

    @property
    def limits(self) -> Limits:
        """One message a second in a channel; the options go before.

        Edits are of tier 3, 50 a minute over the whole workspace, and most of what a relay sends are edits. Posts would
        be allowed more; the same budget holds for them, so that nothing in a storm runs into a 429.
        """
        account = self._config.limits.windows(per_minute=50) if self._webhook is None else ()
        return Limits(destination=self._options.limits.windows(per_second=1.0), account=account)

    def overflows(self, view: IncidentView) -> bool:
        return len(view.alerts) > LISTED and not self._no_files

    def render(self, notice: Notice) -> SlackContent:
        return self._composer.compose(notice)

    async def send(self, content: Content) -> Sent:
        """One call (an upload's three count as one). But for a new message `Sent.remote` is the living one's, as it was."""
        assert isinstance(content, SlackContent)
        if self._webhook is not None:
            return await self._send_to_webhook(self._webhook, content)
        if content.kind is Kind.NEW:
            return await self._new(content)
        remote = content.remote
        if not remote or not isinstance(remote.get("channel"), str) or not isinstance(remote.get("ts"), str):
            raise DeliveryError("gone", "there is no message to refer to", scope="post", permanent=True)
        try:
            await self._refer(content, remote["channel"], remote["ts"])
        except DeliveryError as error:
            if self.is_elsewhere(remote):
                raise of_former_place(error) from None
            raise
        return Sent(remote=remote)

    def lay_out(
        self, view: DigestView, now: Millis, *, plain: bool = False, before: DigestLayout | None = None
    ) -> DigestLayout:
        return self._digests.lay_out(view, now, plain=plain, before=before)

    async def send_digest(self, call: DigestCall) -> Sent:
        """The head goes to the channel, pages and the file to its thread."""
        if call.kind == "remove":
            return await self._remove(call)
        content = call.content
        assert isinstance(content, SlackContent)
        if call.kind != "post" or call.remote is None:
            kind = {"post": Kind.NEW, "edit": Kind.EDIT, "attach": content.kind}[call.kind]
            remote = None if call.kind == "post" else call.remote
            return await self.send(replace(content, kind=kind, remote=remote, broadcast=not call.silent))
        answer = await self._post(content, call.remote["channel"], thread_ts=call.remote["ts"])
        return Sent(remote={"channel": answer.get("channel"), "ts": answer.get("ts")})

    async def _remove(self, call: DigestCall) -> Sent:
        for remote in call.remotes:
            await self._call("chat.delete", channel=remote["channel"], ts=remote["ts"])
        return Sent(remote=call.remote or {})

    def follow(self, moved_to: Mapping[str, Any]) -> None:
        """Slack moves no channel: a renamed one keeps its id."""

    def is_elsewhere(self, remote: Remote) -> bool:
        """In another channel than that of now, as far as that is known: a `#name` has an id since its first message."""
        place = remote.get("asked") or remote.get("channel")
        return self._channel_id is not None and place not in (None, self._channel_id)

    async def check(self) -> Checked:
        """Asks with `auth.test` and, where the bot may, for the channel; a webhook with a post too empty to be shown."""
        if self._webhook is not None:
            return await self._check_webhook(self._webhook)
        me = await self._call("auth.test")
        who = f"@{me.get('user')} of {me.get('team')}"
        channel = str(self._options.channel)
        try:
            found = await self._find(channel)
        except DeliveryError as error:
            if "missing_scope" not in error.detail:
                raise
            return Checked(f"{who} is known; without the scope channels:read {channel} could not be looked up", KNOWN)
        if found is None:
            return Checked(f"{who} is known; {channel} is private or does not exist: give its id to be sure", KNOWN)
        if found.get("is_archived"):
            raise refusal("is_archived", status=200)
        if found.get("is_im"):  # direct messages, of which nobody is a member
            return Checked(f"{who} writes to a person ({found.get('id')})", KNOWN)
        if not found.get("is_member"):
            raise refusal("not_in_channel", status=200)
        return Checked(f"{who} writes to #{found.get('name')} ({found.get('id')})", KNOWN | {"forbidden", "not_found"})

    async def close(self) -> None:
        await self._client.close()

    @property
    def _webhook(self) -> SecretStr | None:
        return self._options.webhook_url

    async def _call(self, method: str, **args: Any) -> Mapping[str, Any]:
        assert self._config.bot_token is not None
        return await self._client.call(self._config.bot_token, self._config.api_url, method, **args)

    async def _new(self, content: SlackContent) -> Sent:
        answer = await self._post(content, str(self._options.channel))
        channel, ts = answer.get("channel"), answer.get("ts")
        if not isinstance(channel, str) or not isinstance(ts, str):
            raise nonsense(200)
        if self._options.channel != self._channel_id:  # configured by its name
            self._channel_id = channel
        asked = {} if channel == self._channel_id else {"asked": self._channel_id}  # a shared channel may have two ids
        return Sent(remote={"channel": channel, "ts": ts, **asked})

    async def _refer(self, content: SlackContent, channel: str, ts: str) -> None:
        """Edits the message, answers it, or puts the document into its thread."""
        if content.document:
            await self._attach(content, channel, ts)
        elif content.kind is Kind.REPLY:
            await self._post(content, channel, thread_ts=ts, reply_broadcast=content.broadcast)
        else:
            try:
                await self._call("chat.update", channel=channel, ts=ts, **content.message)
            except DeliveryError as error:
                raise _judged(error, plain=content.plain) from None

    async def _post(self, content: SlackContent, channel: str, **more: Any) -> Mapping[str, Any]:
        try:
            return await self._call(
                "chat.postMessage",
                channel=channel,
                unfurl_links=False,
                unfurl_media=False,
                **content.message,
                **more,
            )
        except DeliveryError as error:
            raise _judged(error, plain=content.plain) from None

    async def _attach(self, content: SlackContent, channel: str, ts: str) -> None:
        try:
            size = len(content.document)
            place = await self._call("files.getUploadURLExternal", filename=content.file_name, length=size)
            await self._client.upload(place.get("upload_url"), content.document)
            await self._call(
                "files.completeUploadExternal",
                files=[{"id": place.get("file_id"), "title": content.file_name}],
                channel_id=channel,
                thread_ts=ts,
                initial_comment=content.text,
            )
        except DeliveryError as error:
            # A bot that may write but not upload is no reason to stop the channel: the messages go on without lists.
            self._no_files = self._no_files or error.reason == "forbidden"
            raise of_this_post(error) from None

    async def _send_to_webhook(self, webhook: SecretStr, content: SlackContent) -> Sent:
        if content.kind is not Kind.NEW:
            raise DeliveryError("gone", "an incoming webhook cannot change messages", scope="post", permanent=True)
        status, text, retry_after = await self._client.post_webhook(webhook, content.message)
        if status == 200 and text == "ok":
            return Sent(remote={"webhook": True})
        if status == 200:
            raise nonsense(status)
        raise _judged(refusal(text, status=status, retry_after=retry_after), plain=content.plain)

    async def _check_webhook(self, webhook: SecretStr) -> Checked:
        status, text, retry_after = await self._client.post_webhook(webhook, {"text": ""})
        error = refusal(text, status=status, retry_after=retry_after)
        if status == 400 and error.reason == "unparsable":  # it exists, and had nothing to show
            return Checked("the incoming webhook answers", KNOWN)
        raise error

    async def _find(self, channel: str) -> Mapping[str, Any] | None:
        """What Slack tells of a channel by id or #name; None if none of that name is visible."""
        if _ID.fullmatch(channel):
            found = (await self._call("conversations.info", channel=channel)).get("channel")
            return found if isinstance(found, dict) else None
        cursor = ""
        for _ in range(_PAGES):
            page = await self._call("conversations.list", limit=1000, cursor=cursor)
            for one in page.get("channels") or []:
                if isinstance(one, dict) and one.get("name") == channel.lstrip("#"):
                    return one
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                break
        return None


def _judged(error: DeliveryError, *, plain: bool) -> DeliveryError:
    """A text that was sent plain cannot be sent plainer."""
    if plain and error.reason == "unparsable":
        return DeliveryError("rejected", error.detail, scope="post", permanent=True)
    return error
