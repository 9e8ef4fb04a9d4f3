"""The methods of the Bot API that a bot of alerts needs, on the memory of the stand-in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Literal

from relay.demo import telegram_rules as rules
from relay.demo.telegram_calls import QUERY_LIFETIME, Memory, Params, Toast
from relay.demo.telegram_chats import Chat, Document, Message, Refusal, User
from relay.demo.telegram_updates import Updates

_DELETABLE = 48 * 3600
_NO_EFFECT = ("sendchataction", "setmydescription", "setmyshortdescription", "setmyname", "setchatmenubutton")


class Methods:
    """Carries out one call. `run` answers with the result or raises `Refusal`."""

    def __init__(self, memory: Memory, updates: Updates) -> None:
        self._memory = memory
        self._updates = updates
        self._known: dict[str, Callable[[Params], Any]] = {
            "getme": self.get_me,
            "getwebhookinfo": self.get_webhook_info,
            "getchat": self.get_chat,
            "getchatmember": self.get_chat_member,
            "sendmessage": self.send_message,
            "senddocument": self.send_document,
            "editmessagetext": self.edit_message_text,
            "editmessagecaption": self.edit_message_caption,
            "editmessagereplymarkup": self.edit_message_reply_markup,
            "deletemessage": self.delete_message,
            "deletemessages": self.delete_messages,
            "pinchatmessage": self.pin_chat_message,
            "unpinchatmessage": self.unpin_chat_message,
            "answercallbackquery": self.answer_callback_query,
            "setmycommands": self.set_my_commands,
            "getmycommands": self.get_my_commands,
            "deletemycommands": self.delete_my_commands,
        } | dict.fromkeys(_NO_EFFECT, lambda _params: True)

    async def run(self, method: str, params: Params) -> Any:
        name = method.lower()
        if name == "getupdates":
            allowed = rules.decoded(params.get("allowed_updates"), list, "allowed_updates")
            return await self._updates.get(
                offset=params.number("offset") or 0,
                limit=params.number("limit") or 100,
                wait=params.number("timeout") or 0,
                allowed=allowed,
            )
        if name in {"setwebhook", "deletewebhook"}:
            if params.flag("drop_pending_updates"):
                self._updates.drop_pending()
            await self._updates.set_webhook(
                params.get("url", "") if name == "setwebhook" else "",
                secret=params.get("secret_token", ""),
                allowed=rules.decoded(params.get("allowed_updates"), list, "allowed_updates"),
            )
            return True
        if name not in self._known:
            raise Refusal("Not Found", code=404)
        return self._known[name](params)

    def get_me(self, _params: Params) -> Any:
        rights = {"can_join_groups": True, "can_read_all_group_messages": False, "supports_inline_queries": False}
        return self._memory.bot.wire() | rights

    def get_webhook_info(self, _params: Params) -> Any:
        return self._updates.webhook_info()

    def get_chat(self, params: Params) -> Any:
        chat = self._memory.chat(params.get("chat_id"))
        chat.reachable()
        gifts = dict.fromkeys(
            ("unlimited_gifts", "limited_gifts", "unique_gifts", "premium_subscription", "gifts_from_channels"), False
        )
        more: dict[str, Any] = {"accent_color_id": 0, "max_reaction_count": 11, "accepted_gift_types": gifts}
        if chat.kind in {"group", "supergroup"}:
            names = {"can_send_messages": chat.can_send_text, "can_send_documents": chat.can_send_documents}
            more["permissions"] = names
        return chat.wire() | more

    def get_chat_member(self, params: Params) -> Any:
        chat = self._memory.chat(params.get("chat_id"))
        chat.reachable()
        user_id = params.number("user_id")
        if user_id == self._memory.bot.id:
            return _member(self._memory.bot, chat.bot_status)
        user = self._memory.users.get(user_id or 0)
        if user is None:
            raise Refusal("PARTICIPANT_ID_INVALID")
        return _member(user, chat.members.get(user.id, "left"))

    def send_message(self, params: Params) -> Any:
        text, entities = rules.formatted(params)
        return self._post(params, text, entities, None)

    def send_document(self, params: Params) -> Any:
        text, entities = rules.formatted(params, "caption", rules.MAX_CAPTION)
        name = str(params.get("document", "document")).removeprefix("attach://")
        document = params.files.get(name)
        if document is None:
            raise Refusal("there is no document in the request")
        if not document.body:
            raise Refusal("file must be non-empty")
        return self._post(params, text, entities, document)

    def _post(self, params: Params, text: str, entities: list[dict[str, Any]], document: Document | None) -> Any:
        buttons = rules.keyboard(params.get("reply_markup"))
        chat = self._memory.chat(params.get("chat_id"))
        chat.writable("documents" if document else "text messages")
        thread = chat.thread(params.number("message_thread_id"))
        reply_to, thread = self._reply(params, chat, thread)
        self._memory.floods.take(chat)
        preview = rules.decoded(params.get("link_preview_options"), dict, "link preview options") or {}
        message = Message(
            id=chat.next_id(),
            sender=self._memory.bot,
            text=text,
            entities=entities,
            buttons=buttons,
            thread_id=thread,
            reply_to=reply_to,
            silent=params.flag("disable_notification"),
            preview=not preview.get("is_disabled"),
            document=document,
        )
        chat.messages.append(message)
        return chat.wire_message(message)

    @staticmethod
    def _reply(params: Params, chat: Chat, thread: int | None) -> tuple[int | None, int | None]:
        """The message replied to, and the topic: a reply goes to the topic of its target."""
        reply = rules.decoded(params.get("reply_parameters"), dict, "reply parameters")
        if params.get("reply_to_message_id"):
            raise Refusal("strict: reply_to_message_id is deprecated, give reply_parameters")
        if not reply:
            return None, thread
        target = chat.find(reply.get("message_id"))
        if target:
            return target.id, target.thread_id
        if not reply.get("allow_sending_without_reply"):
            raise Refusal("message to be replied not found")
        return None, thread

    def _own(self, params: Params, action: Literal["edit", "delete"] = "edit") -> tuple[Chat, Message]:
        chat = self._memory.chat(params.get("chat_id"))
        chat.writable()
        if not params.number("message_id"):
            raise Refusal("message identifier is not specified")
        message = chat.find(params.number("message_id"))
        if message is None:
            raise Refusal(f"message to {action} not found")
        if message.sender is not self._memory.bot and (action == "edit" or chat.bot_status != "administrator"):
            raise Refusal(f"message can't be {action}ed".replace("eed", "ed"))
        return chat, message

    def edit_message_text(self, params: Params) -> Any:
        text, entities = rules.formatted(params)
        chat, message = self._own(params)
        if message.document:
            raise Refusal("there is no text in the message to edit")
        return self._change(chat, message, text, entities, params)

    def edit_message_caption(self, params: Params) -> Any:
        text, entities = rules.formatted(params, "caption", rules.MAX_CAPTION)
        chat, message = self._own(params)
        if not message.document:
            raise Refusal("there is no caption in the message to edit")
        return self._change(chat, message, text, entities, params)

    def edit_message_reply_markup(self, params: Params) -> Any:
        chat, message = self._own(params)
        return self._change(chat, message, message.text, message.entities, params)

    def _change(self, chat: Chat, message: Message, text: str, entities: list[dict[str, Any]], params: Params) -> Any:
        buttons = rules.keyboard(params.get("reply_markup"))  # without one the keyboard goes
        if (text, entities, buttons) != (message.text, message.entities, message.buttons):
            self._memory.floods.take(chat)
        message.change(text, entities, buttons)
        return chat.wire_message(message)

    def delete_message(self, params: Params) -> Any:
        chat, message = self._own(params, "delete")
        if time.time() - message.date > _DELETABLE:
            raise Refusal("message can't be deleted for everyone")
        chat.messages.remove(message)
        chat.deleted.append(message)
        return True

    def delete_messages(self, params: Params) -> Any:
        ids = rules.decoded(params.get("message_ids"), list, "message identifiers") or []
        if not 1 <= len(ids) <= 100:
            raise Refusal("too many message identifiers specified" if ids else "message identifiers are not specified")
        chat = self._memory.chat(params.get("chat_id"))
        for message_id in ids:
            if chat.find(message_id):  # missing ones are skipped
                self.delete_message(Params(chat_id=chat.id, message_id=message_id))
        return True

    def pin_chat_message(self, params: Params) -> Any:
        chat = self._memory.chat(params.get("chat_id"))
        chat.writable()
        if not chat.can_pin:
            raise Refusal("not enough rights to manage pinned messages in the chat")
        if chat.find(params.number("message_id")) is None:
            raise Refusal("message to pin not found")
        chat.pinned = params.number("message_id")
        return True

    def unpin_chat_message(self, params: Params) -> Any:
        self._memory.chat(params.get("chat_id")).pinned = None
        return True

    def answer_callback_query(self, params: Params) -> Any:
        query = self._memory.queries.get(str(params.get("callback_query_id")))
        if query is None or query.answer.done() or self._memory.clock() - query.asked > QUERY_LIFETIME:
            raise Refusal("query is too old and response timeout expired or query ID is invalid")
        text = str(params.get("text", ""))
        if rules.units(text) > 200:
            raise Refusal("MESSAGE_TOO_LONG")
        query.answer.set_result(Toast(text, alert=params.flag("show_alert")))
        return True

    def set_my_commands(self, params: Params) -> Any:
        commands = rules.decoded(params.get("commands"), list, "commands") or []
        for command in commands:
            name, description = command.get("command", ""), command.get("description", "")
            plain = name.removeprefix("/")
            if not (1 <= len(plain) <= 32 and all(c.islower() or c.isdigit() or c == "_" for c in plain)):
                raise Refusal("BOT_COMMAND_INVALID")
            if not 1 <= rules.units(description) <= 256:
                raise Refusal("BOT_COMMAND_DESCRIPTION_INVALID")
        if len(commands) > 100:
            raise Refusal("BOT_COMMANDS_TOO_MUCH")
        self._memory.commands[_command_key(params)] = commands
        return True

    def get_my_commands(self, params: Params) -> Any:
        return self._memory.commands.get(_command_key(params), [])

    def delete_my_commands(self, params: Params) -> Any:
        self._memory.commands.pop(_command_key(params), None)
        return True


def _command_key(params: Params) -> str:
    scope = rules.decoded(params.get("scope"), dict, "scope") or {"type": "default"}
    chat = f":{scope['chat_id']}" if "chat_id" in scope else ""
    return f"{scope['type']}{chat}:{params.get('language_code', '')}"


def _member(user: User, status: str) -> dict[str, Any]:
    result: dict[str, Any] = {"user": user.wire(), "status": status}
    if status == "kicked":
        result["until_date"] = 0
    if status == "creator":
        result["is_anonymous"] = False
    if status == "administrator":
        names = "be_edited manage_chat delete_messages manage_video_chats restrict_members promote_members change_info"
        rest = "invite_users post_stories edit_stories delete_stories send_welcome_messages"
        result |= {f"can_{name}": False for name in f"{names} {rest}".split()} | {"is_anonymous": False}
    return result
