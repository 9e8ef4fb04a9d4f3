"""What the stand-in for the Bot API remembers: users, chats with their topics and rights, messages with their history."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

ChatKind = Literal["private", "group", "supergroup", "channel"]
Status = Literal["creator", "administrator", "member", "restricted", "left", "kicked"]
Buttons = list[list[dict[str, Any]]]


class Refusal(Exception):
    """The Bot API's "ok": false, with the code and text of the real one."""

    def __init__(self, description: str, *, code: int = 400, parameters: Mapping[str, int] | None = None) -> None:
        prefix = {400: "Bad Request: ", 403: "Forbidden: ", 409: "Conflict: "}.get(code, "")
        super().__init__(prefix + description)
        self.code = code
        self.description = prefix + description
        self.parameters = dict(parameters or {})


@dataclass(slots=True)
class User:
    """A person, or the bot."""

    id: int
    first_name: str
    username: str = ""
    is_bot: bool = False
    language: str = ""

    def wire(self) -> dict[str, Any]:
        more = {"username": self.username, "language_code": self.language}
        given = {name: value for name, value in more.items() if value}
        return {"id": self.id, "is_bot": self.is_bot, "first_name": self.first_name, **given}


@dataclass(frozen=True, slots=True)
class Document:
    """An uploaded file; its text is the message's caption."""

    name: str
    body: bytes
    mime: str


@dataclass(frozen=True, slots=True)
class Version:
    """How a message looked before an edit."""

    text: str
    entities: Sequence[Mapping[str, Any]]
    buttons: Buttons


@dataclass(slots=True, kw_only=True)
class Message:
    """A message as its readers see it; `edits` holds the earlier looks, oldest first."""

    id: int
    sender: User
    text: str
    entities: list[dict[str, Any]] = field(default_factory=list)
    buttons: Buttons = field(default_factory=list)
    thread_id: int | None = None
    reply_to: int | None = None
    silent: bool = False
    preview: bool = True
    document: Document | None = None
    date: float = field(default_factory=time.time)
    edits: list[Version] = field(default_factory=list)

    def change(self, text: str, entities: list[dict[str, Any]], buttons: Buttons) -> None:
        """Raises `Refusal` when nothing would change, as the real one does."""
        if (text, entities, buttons) == (self.text, self.entities, self.buttons):
            raise Refusal(
                "message is not modified: specified new message content and reply markup are exactly the same as a "
                "current content and reply markup of the message"
            )
        self.edits.append(Version(self.text, self.entities, self.buttons))
        self.text, self.entities, self.buttons = text, entities, buttons

    def button(self, caption_or_data: str) -> dict[str, Any]:
        """The button a person would find under this caption; raises `LookupError` with those there are."""
        buttons = [button for row in self.buttons for button in row]
        for button in buttons:
            if caption_or_data in {button["text"], button.get("callback_data")}:
                return button
        raise LookupError(f"no button {caption_or_data!r}, only {[button['text'] for button in buttons]}")


@dataclass(slots=True)
class Topic:
    """A topic of a forum; General is not among them, it needs no id."""

    name: str
    closed: bool = False


@dataclass(slots=True, kw_only=True)
class Chat:
    """A chat, and what the bot may do there. `messages` are those not deleted, oldest first."""

    id: int
    kind: ChatKind
    title: str
    username: str = ""
    forum: bool = False
    topics: dict[int, Topic] = field(default_factory=dict)
    bot_status: Status = "member"
    can_send_text: bool = True
    can_send_documents: bool = True
    can_pin: bool = True
    migrated_to: int | None = None
    messages: list[Message] = field(default_factory=list)
    deleted: list[Message] = field(default_factory=list)
    pinned: int | None = None
    last_id: int = 0
    members: dict[int, Status] = field(default_factory=dict)

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def find(self, message_id: int | None) -> Message | None:
        return next((message for message in self.messages if message.id == message_id), None)

    def reachable(self) -> None:
        """Raises the `Refusal` of a chat that the bot cannot even look at."""
        if self.migrated_to is not None:
            raise Refusal(
                "group chat was upgraded to a supergroup chat", parameters={"migrate_to_chat_id": self.migrated_to}
            )
        if self.kind == "private" and self.bot_status in {"kicked", "left"}:
            blocked = self.bot_status == "kicked"
            raise Refusal(
                "bot was blocked by the user" if blocked else "bot can't initiate conversation with a user", code=403
            )
        if self.bot_status == "kicked":
            raise Refusal(f"bot was kicked from the {self.kind} chat", code=403)

    def writable(self, what: Literal["text messages", "documents"] = "text messages") -> None:
        """Raises the `Refusal` of a chat that the bot may not write to."""
        self.reachable()
        if self.bot_status == "left":
            raise Refusal(f"bot is not a member of the {self.kind} chat", code=403)
        if self.kind == "channel" and self.bot_status not in {"administrator", "creator"}:
            raise Refusal("need administrator rights in the channel chat")
        allowed = self.can_send_text if what == "text messages" else self.can_send_documents
        if not allowed:
            raise Refusal(f"not enough rights to send {what} to the chat")

    def thread(self, thread_id: int | None) -> int | None:
        """The topic a message goes to. General has no id: even its own, 1, is refused."""
        if thread_id is None or thread_id == 0:
            return None
        topic = self.topics.get(thread_id)
        if not self.forum or topic is None:
            raise Refusal("message thread not found")
        if topic.closed and self.bot_status not in {"administrator", "creator"}:
            raise Refusal("TOPIC_CLOSED")
        return thread_id

    def wire(self) -> dict[str, Any]:
        name = {"first_name": self.title} if self.kind == "private" else {"title": self.title}
        extra: dict[str, Any] = {"username": self.username} if self.username else {}
        if self.forum:
            extra["is_forum"] = True
        return {"id": self.id, "type": self.kind, **name, **extra}

    def wire_message(self, message: Message, *, with_reply: bool = True) -> dict[str, Any]:
        """A Message object of the Bot API."""
        result: dict[str, Any] = {"message_id": message.id, "date": int(message.date), "chat": self.wire()}
        result |= {"sender_chat": self.wire()} if self.kind == "channel" else {"from": message.sender.wire()}
        if message.thread_id is not None:
            result |= {"message_thread_id": message.thread_id, "is_topic_message": True}
        if with_reply and (target := self.find(message.reply_to)):
            result["reply_to_message"] = self.wire_message(target, with_reply=False)
        if message.document:
            name = f"{self.id}-{message.id}"
            result["document"] = {
                "file_id": f"file-{name}",
                "file_unique_id": f"unique-{name}",
                "file_name": message.document.name,
                "mime_type": message.document.mime,
                "file_size": len(message.document.body),
            }
        text, entities = ("caption", "caption_entities") if message.document else ("text", "entities")
        result |= {text: message.text} if message.text else {}
        result |= {entities: message.entities} if message.entities else {}
        result |= {"reply_markup": {"inline_keyboard": message.buttons}} if message.buttons else {}
        result |= {"edit_date": int(time.time())} if message.edits else {}
        return result
