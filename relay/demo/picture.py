"""What people see in the three programs, as JSON for the page: one item for each message, by a key that stays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from relay.demo.mail import FakeMail, Mail, threads
from relay.demo.slack_state import Conversation
from relay.demo.slack_state import Message as SlackMessage
from relay.demo.slack_workspace import BOT_USER
from relay.demo.telegram import Chat, Message, User

Item = Mapping[str, Any]
_QUOTED = 120  # characters of a message that a reply to it shows
_SNIPPET = 140


def chat_items(chat: Chat, bot: User, me: User) -> dict[str, Item]:
    """The messages of a Telegram chat as `me` sees them."""
    found: dict[str, Item] = {}
    for message in chat.messages:
        found[f"telegram-{message.id}"] = {
            "pane": "telegram",
            "id": message.id,
            "who": message.sender.first_name,
            "bot": message.sender is bot,
            "mine": message.sender is me,
            "text": message.text,
            "entities": message.entities,
            "buttons": [[_button(button) for button in row] for row in message.buttons],
            "quote": _quote(chat.find(message.reply_to)),
            "silent": message.silent,
            "edited": bool(message.edits),
            "file": {"name": message.document.name, "size": len(message.document.body)} if message.document else None,
            "at": message.date,
        }
    return found


def _button(button: Mapping[str, Any]) -> Item:
    return {"text": button["text"], "data": button.get("callback_data"), "url": button.get("url")}


def _quote(message: Message | None) -> Item | None:
    if message is None:
        return None
    return {"id": message.id, "who": message.sender.first_name, "text": message.text.partition("\n")[0][:_QUOTED]}


def channel_items(channel: Conversation) -> dict[str, Item]:
    """The messages of a Slack channel; `thread` is the key of the message that a reply belongs to."""
    return {f"slack-{message.ts}": _slack_item(message) for message in channel.messages}


def _slack_item(message: SlackMessage) -> Item:
    return {
        "pane": "slack",
        "who": "relay" if message.user == BOT_USER else message.user,
        "text": message.text,
        "blocks": message.blocks,
        "thread": f"slack-{message.thread_ts}" if message.thread_ts else None,
        "broadcast": message.broadcast,
        "edited": bool(message.edits),
        "files": [{"name": file.title or file.name, "size": file.length} for file in message.files],
        "at": float(message.ts),
    }


def mail_items(mail: FakeMail) -> dict[str, Item]:
    """The mails of the mailbox; `thread` is what a mail program files them under."""
    thread_of = {id(one): root for root, mails in threads(mail.mailbox).items() for one in mails}
    return {f"mail-{number}": _mail_item(one, thread_of[id(one)]) for number, one in enumerate(mail.mailbox, 1)}


def _mail_item(mail: Mail, thread: str) -> Item:
    return {
        "pane": "mail",
        "from": str(mail.message["From"]),
        "to": ", ".join(mail.recipients),
        "subject": mail.subject,
        "snippet": " ".join(mail.text.partition("\n")[2].split())[:_SNIPPET],
        "html": mail.html,
        "text": mail.text,
        "files": [{"name": name, "size": len(body)} for name, body in mail.attachments.items()],
        "thread": thread,
        "at": mail.at.timestamp(),
    }
