"""The calls to Slack over HTTP: Web API methods, file uploads and incoming webhooks; they fail as `DeliveryError`."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any

import aiohttp
from pydantic import SecretStr
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from relay.channels.slack.errors import no_connection, nonsense, refusal, seconds
from relay.notification import DeliveryError

TIMEOUT = 30.0
"""Seconds for one request: the Web API answers within three; the rest is for the network."""

_LONGEST_ANSWER = 65_536

_NONSENSE = (AttributeError, TypeError, ValueError, LookupError)
"""What slack_sdk and aiohttp raise for bodies that are no JSON object or claim a charset that does not exist."""


class SlackClient:
    """One per channel; the session may be shared, and is then left open by `close`."""

    def __init__(self, *, session: aiohttp.ClientSession | None, timeout: float = TIMEOUT) -> None:
        self._own = session is None
        self._session = session
        self._timeout = timeout

    async def call(self, token: SecretStr, base_url: str, method: str, **args: Any) -> Mapping[str, Any]:
        """One method of the Web API; the answer, which says `ok`. Lists and objects travel as JSON, else as a form.

        chat.* take JSON; the others only promise to take forms.
        """
        sent = {"json": args} if method.startswith("chat.") else {"data": _form(args)}
        web = self._web(token, base_url)
        try:
            async with asyncio.timeout(self._timeout):
                answer = (await web.api_call(method, **sent)).data
        except SlackApiError as error:
            failure = self._refused(error.response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = no_connection(error)
        except _NONSENSE:
            failure = nonsense(200)
        else:
            if isinstance(answer, dict):
                return answer
            failure = nonsense(200)
        raise failure  # outside of the handlers: the original, whose text may hold a secret, is not chained to it

    async def upload(self, address: object, content: bytes) -> None:
        """The bytes of a file to the address that `files.getUploadURLExternal` gave."""
        if not isinstance(address, str) or not address.startswith(("https://", "http://")):
            raise nonsense(200)
        headers = {"Content-Type": "application/octet-stream"}
        status, _, wait = await self._post(address, content, headers)
        if status != 200:
            raise refusal(None, status=status, retry_after=wait)

    async def post_webhook(self, address: SecretStr, body: Mapping[str, Any]) -> tuple[int, str, float | None]:
        """Posts to an incoming webhook: HTTP status, the text of the answer and the seconds of Retry-After."""
        content = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return await self._post(address.get_secret_value(), content, headers)

    async def close(self) -> None:
        if self._own and self._session is not None:
            await self._session.close()
            self._session = None

    async def _post(self, address: str, content: bytes, headers: Mapping[str, str]) -> tuple[int, str, float | None]:
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._open().post(address, data=content, headers=headers, allow_redirects=False) as response,
            ):
                text = (await _beginning(response.content)).decode(errors="replace").strip()
                return response.status, text, seconds(response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            failure = no_connection(error)
        except _NONSENSE:
            failure = nonsense(0)
        raise failure

    def _web(self, token: SecretStr, base_url: str) -> AsyncWebClient:
        quiet = logging.getLogger(__name__)
        quiet.setLevel(logging.WARNING)  # at DEBUG slack_sdk logs whole messages
        web = AsyncWebClient(
            token=token.get_secret_value(), base_url=base_url, session=self._open(), retry_handlers=[], logger=quiet
        )
        web.proxy = None  # its constructor takes one from the environment, which nobody asked for
        return web

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # made on first use: rendering needs no event loop
            self._session = aiohttp.ClientSession()
        return self._session

    @staticmethod
    def _refused(response: Any) -> DeliveryError:
        """The failure behind slack_sdk's error, whose response is its own or, for broken JSON, aiohttp's."""
        status: int = getattr(response, "status_code", None) or getattr(response, "status", None) or 0
        wait = seconds(response.headers.get("Retry-After"))
        answer = getattr(response, "data", None)
        if not isinstance(answer, dict):
            return nonsense(status) if status == 200 else refusal(None, status=status, retry_after=wait)
        return refusal(answer.get("error"), status=status, retry_after=wait, needed=answer.get("needed"))


async def _beginning(content: aiohttp.StreamReader) -> bytes:
    """An answer's body; of one that goes on and on only the beginning. Slack's are single words."""
    body = bytearray()
    async for chunk in content.iter_chunked(4096):
        body += chunk
        if len(body) > _LONGEST_ANSWER:
            break
    return bytes(body)


def _form(args: Mapping[str, Any]) -> dict[str, str]:
    return {
        name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False) for name, value in args.items()
    }
