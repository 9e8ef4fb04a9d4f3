"""A Slack workspace in memory: the Web API's methods on its channels, messages and files.

No HTTP here: `relay.demo.slack` is the door. A method raises `Refused` with Slack's own error word.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from relay.demo import slack_rules as rules
from relay.demo.slack_state import Bucket, Conversation, File, Message, Rates, Refused

BOT_USER = "U0RELAYBOT"
TEAM = "T0RELAY"
SCOPES = frozenset({"chat:write", "files:write", "channels:read"})
Args = Mapping[str, Any]


class Workspace:
    """The state and the methods. `wall` dates messages, `clock` fills the buckets; both in seconds."""

    def __init__(
        self, names: Sequence[str], *, rates: Rates, wall: Callable[[], float], clock: Callable[[], float]
    ) -> None:
        self.channels = {name: Conversation(id=f"C0{index:08d}", name=name) for index, name in enumerate(names, 1)}
        self.files: dict[str, File] = {}
        self.scopes = set(SCOPES)
        self.edits_closed = False
        self._rates = rates
        self._wall = wall
        self._clock = clock
        self._buckets: dict[str, Bucket] = {}
        self._sequence = 0
        self.methods: Mapping[str, Callable[[Args], dict[str, Any]]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.info": self._info,
            "conversations.list": self._list,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
        }

    def write(self, channel: str, text: str, *, user: str = "U0ANNA") -> Message:
        """A person writes something into a channel."""
        return self._add(self.channels[channel], Message(ts=self._ts(), user=user, text=text, blocks=[]))

    def delete(self, channel: str, ts: str) -> None:
        """A person deletes a message."""
        conversation = self.channels[channel]
        conversation.messages = [message for message in conversation.messages if message.ts != ts]

    def post_by_webhook(self, channel: str, body: Mapping[str, Any]) -> None:
        """What an incoming webhook's body puts into its channel."""
        _known(body, "text", "blocks", "attachments", "unfurl_links", "unfurl_media", "mrkdwn")
        conversation = self.channels[channel]
        if conversation.archived:
            raise Refused("channel_is_archived")
        self._spend(f"hook:{channel}", self._rates.post_burst, self._rates.posts_per_second)
        text, blocks, attachments = _content(body)
        self._add(
            conversation, Message(ts=self._ts(), user="B0HOOK", text=text, blocks=blocks, attachments=attachments)
        )

    def _auth_test(self, args: Args) -> dict[str, Any]:
        _known(args)
        return {
            "url": "https://relay-demo.slack.test/",
            "team": "Relay Demo",
            "user": "relay",
            "team_id": TEAM,
            "user_id": BOT_USER,
            "bot_id": "B0RELAYBOT",
        }

    def _post(self, args: Args) -> dict[str, Any]:
        self._scope("chat:write")
        _known(
            args,
            "channel",
            "text",
            "blocks",
            "attachments",
            "thread_ts",
            "reply_broadcast",
            "unfurl_links",
            "unfurl_media",
        )
        conversation = self._writable(args.get("channel"), by_name=True)
        self._spend(f"post:{conversation.id}", self._rates.post_burst, self._rates.posts_per_second)
        thread_ts = self._thread(conversation, args)
        text, blocks, attachments = _content(args)
        message = Message(ts=self._ts(), user=BOT_USER, text=text, blocks=blocks, attachments=attachments)
        message.thread_ts = thread_ts
        message.broadcast = _flag(args.get("reply_broadcast"))
        self._add(conversation, message)
        return {
            "channel": conversation.id,
            "ts": message.ts,
            "message": {"text": text, "user": BOT_USER, "ts": message.ts},
        }

    def _update(self, args: Args) -> dict[str, Any]:
        self._scope("chat:write")
        _known(args, "channel", "ts", "text", "blocks", "attachments")
        self._spend("update", self._rates.update_burst, self._rates.updates_per_second)
        conversation = self._conversation(args.get("channel"), by_name=False)
        message = conversation.find(args.get("ts"))
        if message is None:
            raise Refused("message_not_found")
        if message.user != BOT_USER:
            raise Refused("cant_update_message")
        if self.edits_closed:
            raise Refused("edit_window_closed")
        text, blocks, attachments = _content(args, empty_allowed=True)
        message.edits.append((message.text, message.blocks))
        message.text = text
        if "blocks" in args:  # Slack keeps the old blocks of an edit that brings none
            message.blocks = blocks
        if "attachments" in args:
            message.attachments = attachments
        return {"channel": conversation.id, "ts": message.ts, "text": text}

    def _delete(self, args: Args) -> dict[str, Any]:
        self._scope("chat:write")
        _known(args, "channel", "ts")
        self._spend("update", self._rates.update_burst, self._rates.updates_per_second)
        conversation = self._conversation(args.get("channel"), by_name=False)
        message = conversation.find(args.get("ts"))
        if message is None:
            raise Refused("message_not_found")
        if message.user != BOT_USER:
            raise Refused("cant_delete_message")
        conversation.messages.remove(message)
        return {"channel": conversation.id, "ts": message.ts}

    def _info(self, args: Args) -> dict[str, Any]:
        self._scope("channels:read")
        _known(args, "channel")
        return {"channel": self._conversation(args.get("channel"), by_name=False).about()}

    def _list(self, args: Args) -> dict[str, Any]:
        self._scope("channels:read")
        _known(args, "cursor", "limit", "types", "exclude_archived")
        try:
            limit, start = int(args.get("limit", 100)), int(args.get("cursor") or 0)
        except ValueError:
            raise Refused("invalid_cursor") from None
        if not 0 < limit <= 1000:
            raise Refused("invalid_limit")
        hidden = _flag(args.get("exclude_archived"))
        found = [channel for channel in self.channels.values() if not (hidden and channel.archived)]
        rest = start + limit < len(found)
        return {
            "channels": [channel.about() for channel in found[start : start + limit]],
            "response_metadata": {"next_cursor": str(start + limit) if rest else ""},
        }

    def _upload_url(self, args: Args) -> dict[str, Any]:
        self._scope("files:write")
        _known(args, "filename", "length", "snippet_type", "alt_txt")
        try:
            size, name = int(args["length"]), str(args["filename"])
        except (KeyError, ValueError):
            raise Refused("invalid_arguments", ["filename and length are required"]) from None
        if size <= 0 or not name:
            raise Refused("invalid_arguments", ["length must be positive, filename not empty"])
        file = File(id=f"F0{len(self.files) + 1:08d}", name=name, length=size)
        self.files[file.id] = file
        return {"file_id": file.id}

    def _complete(self, args: Args) -> dict[str, Any]:
        self._scope("files:write")
        _known(args, "files", "channel_id", "thread_ts", "initial_comment")
        listed = _json(args.get("files"))
        if not isinstance(listed, list) or not listed or not all(isinstance(item, dict) for item in listed):
            raise Refused("invalid_arguments", ["files must be a list of {id, title}"])
        conversation = self._writable(args.get("channel_id"), by_name=False)
        thread_ts = self._thread(conversation, args)
        files = [self._uploaded(item) for item in listed]
        text = str(args.get("initial_comment", ""))
        message = Message(ts=self._ts(), user=BOT_USER, text=text, blocks=[], thread_ts=thread_ts, files=files)
        self._add(conversation, message)
        return {"files": [{"id": file.id, "title": file.title} for file in files]}

    def _uploaded(self, item: Mapping[str, Any]) -> File:
        file = self.files.get(str(item.get("id")))
        if file is None or file.content is None or file.shared:
            raise Refused("file_not_found")
        file.title, file.shared = str(item.get("title", file.name)), True
        return file

    def _scope(self, needed: str) -> None:
        if needed not in self.scopes:
            raise Refused("missing_scope", needed=needed, provided=",".join(sorted(self.scopes)))

    def _spend(self, key: str, size: float, rate: float) -> None:
        now = self._clock()
        self._buckets.setdefault(key, Bucket(size, rate, size, now)).take(now)

    def _conversation(self, wanted: object, *, by_name: bool) -> Conversation:
        for conversation in self.channels.values():
            if wanted == conversation.id or (by_name and wanted in (conversation.name, f"#{conversation.name}")):
                return conversation
        raise Refused("channel_not_found")

    def _writable(self, wanted: object, *, by_name: bool) -> Conversation:
        conversation = self._conversation(wanted, by_name=by_name)
        if conversation.archived:
            raise Refused("is_archived")
        if not conversation.member:
            raise Refused("not_in_channel")
        return conversation

    def _thread(self, conversation: Conversation, args: Args) -> str | None:
        wanted = args.get("thread_ts")
        if wanted is None:
            if _flag(args.get("reply_broadcast")):
                raise Refused("invalid_arguments", ["reply_broadcast needs thread_ts"])
            return None
        parent = conversation.find(wanted)
        if parent is None:
            raise Refused("thread_not_found")
        if parent.thread_ts is not None:
            raise Refused("cannot_reply_to_message")
        return parent.ts

    def _ts(self) -> str:
        self._sequence += 1
        return f"{int(self._wall())}.{self._sequence:06d}"

    def _add(self, conversation: Conversation, message: Message) -> Message:
        conversation.messages.append(message)
        return message


def _known(args: Args, *names: str) -> None:
    unknown = sorted(set(args) - {*names, "token"})
    if unknown:
        raise Refused("invalid_arguments", [f"unknown argument: {name}" for name in unknown])


def _flag(value: object) -> bool:
    return value is True or str(value).lower() in ("1", "true")


def _json(value: Any) -> Any:
    """The value itself, or what its JSON text says: a form carries lists as text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return None


def _content(args: Args, *, empty_allowed: bool = False) -> tuple[str, list[Any], list[Any]]:
    """Text, blocks and attachments of a message that keeps the rules."""
    text = args.get("text", "")
    if not isinstance(text, str):
        raise Refused("invalid_arguments", ["text must be a string"])
    if rules.length(text) > rules.MAX_TEXT:
        raise Refused("msg_too_long")
    blocks = _json(args["blocks"]) if "blocks" in args else []
    attachments = _json(args["attachments"]) if "attachments" in args else []
    if not isinstance(blocks, list):
        raise Refused("invalid_blocks_format")
    if not isinstance(attachments, list):
        raise Refused("invalid_attachments")
    problems = rules.block_problems(blocks)
    if problems:
        raise Refused("invalid_blocks", problems, errors=problems)
    if rules.total(blocks) > rules.MAX_TOTAL:
        raise Refused("msg_blocks_too_long")
    if not text.strip() and not blocks and not attachments and not (empty_allowed and "blocks" not in args):
        raise Refused("no_text")
    return text, blocks, attachments
