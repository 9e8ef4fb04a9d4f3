"""How the log speaks of those who speak no HTTP to us: scanners, and senders that were told https:// for this port."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

LONGEST = 200


def in_one_line(record: logging.LogRecord) -> bool:
    """A filter: aiohttp tells of a stranger with a traceback and as of an error, as if it were ours."""
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError | web.RequestPayloadError):
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.msg, record.args = f"{record.getMessage()}: {' '.join(str(error).split())[:LONGEST]}", ()
        record.exc_info = record.exc_text = None
    return True
