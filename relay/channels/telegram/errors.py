"""Reads what went wrong with a call of the Bot API: whose failure it is, and whether trying again can help.

Descriptions are those of tdlib/telegram-bot-api; the classes are aiogram's, which also lets errors of the decoder, of
proxies and of its own (a `TypeError` for a 500 without description) through.
"""

from __future__ import annotations

import re

from aiogram.exceptions import (
    ClientDecodeError,
    TelegramAPIError,
    TelegramBadRequest,
    TelegramEntityTooLarge,
    TelegramForbiddenError,
    TelegramMigrateToChat,
    TelegramNetworkError,
    TelegramNotFound,
    TelegramRetryAfter,
    TelegramUnauthorizedError,
)
from aiohttp import ConnectionTimeoutError

from relay.notification import DeliveryError, Reason
from relay.text import one_line

_NOT_FOUND = re.compile(
    r"chat not found|thread not found|TOPIC_(CLOSED|DELETED|ID_INVALID)|PEER_ID_INVALID|CHAT_ID_INVALID"
    r"|chat_id is empty|user not found",
    re.IGNORECASE,
)
_FORBIDDEN = re.compile(
    r"not enough rights to send text|no rights to send|need administrator rights|CHAT_WRITE_FORBIDDEN"
    r"|CHAT_ADMIN_REQUIRED|CHAT_RESTRICTED|CHAT_SEND_PLAIN_FORBIDDEN|CHANNEL_PRIVATE|USER_IS_BLOCKED"
    r"|was kicked|was blocked|chat was deactivated|not a member",
    re.IGNORECASE,
)
_GONE = re.compile(
    r"message to edit not found|message can't be edited|MESSAGE_ID_INVALID|MESSAGE_AUTHOR_REQUIRED"
    r"|no text in the message to edit|message to be replied not found|message identifier is not specified",
    re.IGNORECASE,
)
_STANDS = re.compile(r"message can't be edited|MESSAGE_AUTHOR_REQUIRED", re.IGNORECASE)
"""It is another bot's message, such as that of the bot before this one."""
_TOO_LARGE = re.compile(r"too.long|too.big|too.large|too.much", re.IGNORECASE)
_UNPARSABLE = re.compile(
    r"can't parse|BUTTON_|ENTIT(Y|IES)_|entity beginning|inline keyboard|REPLY_MARKUP|encoded in UTF-8|wrong HTTP URL",
    re.IGNORECASE,
)
_USERINFO = re.compile(r"://[^/@\s]+@")
_TOKEN_IN_URL = re.compile(r"/bot[^/\s'\"]+")


class Judge:
    """Turns exceptions into `DeliveryError` without a trace of the token."""

    def __init__(self, token: str) -> None:
        secret = token.partition(":")[2]
        self._secrets = [text for text in (token, token.replace(":", "%3A"), secret) if text]

    def redact(self, text: str) -> str:
        """One line of the text, without the token, addresses that hold it, and passwords of proxies."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return one_line(_TOKEN_IN_URL.sub("/bot***", _USERINFO.sub("://***@", text)), 300)

    def classify(self, error: Exception, *, plain: bool, elsewhere: bool) -> DeliveryError:
        """Whose failure it is.

        Args:
            error: what aiogram, aiohttp or a proxy raised.
            plain: unformatted text was sent, so that sending it plain is no way out.
            elsewhere: the call went to another chat or topic than the configured one.
        """
        message = (error.message or "") if isinstance(error, TelegramAPIError) else str(error)  # a description may lack
        detail = self.redact(message) or type(error).__name__
        if isinstance(error, TelegramMigrateToChat):
            return _moved(error.migrate_to_chat_id, elsewhere=elsewhere)
        if isinstance(error, TelegramRetryAfter):
            wait = float(error.retry_after)
            return DeliveryError("rate_limited", f"wait {wait:g} s", scope="destination", retry_after=wait)
        if isinstance(error, TelegramBadRequest):
            return _bad_request(detail, plain=plain, elsewhere=elsewhere)
        return _refusal(error, detail, elsewhere=elsewhere) or _transient(error, detail)


def _moved(chat_id: int, *, elsewhere: bool) -> DeliveryError:
    if elsewhere:  # the message stayed behind in the old group, where no bot may edit it
        detail = "the group was upgraded to a supergroup"
        return DeliveryError("gone", detail, scope="post", permanent=True, stands=True)
    detail = f"the group was upgraded to the supergroup {chat_id}"
    return DeliveryError("moved", detail, scope="destination", moved_to={"chat_id": chat_id})


def _refusal(error: Exception, detail: str, *, elsewhere: bool) -> DeliveryError | None:
    if isinstance(error, TelegramForbiddenError):
        return _refused("forbidden", detail, elsewhere=elsewhere)
    if isinstance(error, TelegramUnauthorizedError | TelegramNotFound):
        detail = f"Telegram does not know this bot token: {detail}"
        return DeliveryError("unauthorized", detail, scope="destination", permanent=True)
    if isinstance(error, TelegramEntityTooLarge):  # a subclass of TelegramNetworkError
        return DeliveryError("too_large", detail, scope="post", permanent=True)
    return None


def _refused(reason: Reason, detail: str, *, elsewhere: bool) -> DeliveryError:
    """A chat that refuses us stops the destination; in a former chat only the message is out of reach."""
    if elsewhere:
        return DeliveryError("gone", detail, scope="post", permanent=True)
    return DeliveryError(reason, detail, scope="destination", permanent=True)


def _bad_request(detail: str, *, plain: bool, elsewhere: bool) -> DeliveryError:
    if _NOT_FOUND.search(detail):
        return _refused("not_found", detail, elsewhere=elsewhere)
    if _FORBIDDEN.search(detail):
        return _refused("forbidden", detail, elsewhere=elsewhere)
    if detail.lower().startswith("too many requests"):
        return DeliveryError("rate_limited", detail, scope="destination")
    reason: Reason = "rejected"
    if _GONE.search(detail):
        reason = "gone"
    elif _TOO_LARGE.search(detail):
        reason = "too_large"
    elif _UNPARSABLE.search(detail) and not plain:
        reason = "unparsable"
    return DeliveryError(reason, detail, scope="post", permanent=True, stands=_STANDS.search(detail) is not None)


def _transient(error: Exception, detail: str) -> DeliveryError:
    reason: Reason = "server_error"
    if isinstance(error, TelegramNetworkError):
        cause = error.__cause__
        slow = isinstance(cause, TimeoutError) and not isinstance(cause, ConnectionTimeoutError)
        reason = "timeout" if slow else "connection"
    elif isinstance(error, ClientDecodeError):
        detail = "the answer is none of the Bot API: does a proxy or a gateway answer?"
    elif isinstance(error, TelegramAPIError):
        reason = "rate_limited" if detail.lower().startswith("too many requests") else "server_error"
    elif isinstance(error, TypeError | ValueError | LookupError | AttributeError):
        detail = f"an answer that makes no sense ({type(error).__name__})"
    else:  # aiohttp-socks raises plain exceptions, the socket an OSError
        reason = "connection"
        detail = f"{type(error).__name__}: {detail}"
    return DeliveryError(reason, detail, scope="destination")
