"""HTTP: one request per message to anything that takes one."""

from relay.channels.http.channel import HttpChannel, HttpContent

__all__ = ["HttpChannel", "HttpContent"]
