"""Who may post webhooks: bearer tokens, several while one replaces another, and basic auth; compared in constant time."""

from __future__ import annotations

import base64
import binascii
import hmac

from relay.listening import AuthConfig


class Credentials:
    """Answers whether an `Authorization` header may post."""

    def __init__(self, config: AuthConfig) -> None:
        self._anonymous = config.allow_anonymous
        self._tokens = [token.get_secret_value().encode() for token in config.tokens]
        self._basic = None
        if config.basic is not None:
            self._basic = f"{config.basic.username}:{config.basic.password.get_secret_value()}".encode()

    def allow(self, header: str | None) -> bool:
        return self.prove(header) or self._anonymous

    def prove(self, header: str | None) -> bool:
        """Whether the header holds one of our credentials, whoever else may post."""
        scheme, _, value = (header or "").partition(" ")
        match scheme.lower():
            case "bearer":
                given = value.strip().encode("utf-8", "surrogateescape")
                # every token is compared, so that the time taken does not tell which one nearly fitted
                fits = [hmac.compare_digest(given, token) for token in self._tokens]
                return any(fits)
            case "basic" if self._basic is not None:
                return hmac.compare_digest(_decoded(value), self._basic)
        return False

    @property
    def challenge(self) -> str:
        return 'Basic realm="relay"' if self._basic is not None else 'Bearer realm="relay"'


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value.strip(), validate=True)
    except (binascii.Error, ValueError):
        return b""
