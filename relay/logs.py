"""What the process says on stderr: one event per line, logfmt or JSON, ours and the libraries' alike, never a secret.

Events go through the standard library's logging, which is one per process by nature; nothing else here is global.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, WrappedLogger

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["logfmt", "json"]

MASK = "**********"
SHORTEST_SECRET = 4
"""Shorter ones are not masked: they would blot out half of every line and are no secrets to anyone."""

_FIELDS = "relay_fields"
_OWN_KEYS = ("time", "level", "component", "event", "exception", "stack")
# Control characters, line and paragraph separators, marks that turn the writing direction, and lone surrogates.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_NO_NAME = re.compile(r"[^\w.:-]")
_BARE = re.compile(r"[^\s\"=\\]+")
_PLAIN = re.compile(r"[\w.:/+-]+", re.ASCII)


class _Mask:
    """Replaces known secrets wherever they stand, also as URLs and JSON write them."""

    def __init__(self) -> None:
        self._variants: frozenset[str] = frozenset()
        self._pattern = re.compile(r"(?!)")  # fits nowhere

    def add(self, secret: str) -> None:
        if len(secret) < SHORTEST_SECRET:
            return
        plain = secret.encode("utf-8", "replace").decode()
        self._variants |= {secret, quote(plain), quote(plain, safe=""), quote_plus(plain)}
        self._variants |= {repr(secret)[1:-1], repr(plain.encode())[2:-1]}
        self._variants |= {json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
        longest_first = sorted(self._variants, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        for variant in self._variants:  # a search for each is many times faster than one pattern of them all
            if variant in text:
                return self._pattern.sub(MASK, text)
        return text


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to the stream; an event that cannot be written is dropped, never shown raw."""

    def __init__(self, stream: TextIO, fmt: Format, mask: _Mask) -> None:
        super().__init__(stream)
        self.mask = mask
        self.setFormatter(_Formatter(fmt, mask))

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """The default prints a traceback past the mask."""


class _Formatter(logging.Formatter):
    """One record as one line."""

    def __init__(self, fmt: Format, mask: _Mask) -> None:
        super().__init__()
        self._write = _json if fmt == "json" else _logfmt
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, tz=UTC)
        event: dict[str, Any] = {
            "time": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "component": record.name.removeprefix("relay."),
            "event": _message(record),
        }
        for name, value in getattr(record, _FIELDS, {}).items():
            event[f"{name}_" if name in _OWN_KEYS else str(name)] = value
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            event["stack"] = record.stack_info
        mask, plain = self._mask, self._plain
        return self._write({name: mask(value) if type(value) is str else plain(value) for name, value in event.items()})

    def _plain(self, value: object, depth: int = 0) -> Any:
        """The value as JSON knows it, without secrets; whatever it is, this does not fail."""
        if isinstance(value, str):
            return self._mask(value)
        if value is None or isinstance(value, bool) or (type(value) is int and -1000 < value < 1000):
            return value  # shorter than any secret that is masked
        if isinstance(value, int | float):
            shown = _text(value)
            whole = abs(value) < 2**63 and self._mask(shown) == shown  # JSON knows no NaN, readers no larger numbers
            return value if whole else self._mask(shown)
        if isinstance(value, Mapping) and depth < 5:
            return {self._mask(_text(name)): self._plain(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < 5:
            return [self._plain(item, depth + 1) for item in value]
        return self._mask(_text(value))


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  a broken __str__ must not cost the event
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  a library's format string that does not fit its arguments
        return _text(record.msg)


def _json(event: Mapping[str, Any]) -> str:
    return json.dumps(event)  # ASCII only, so that nothing in a value can begin a line


def _logfmt(event: Mapping[str, Any]) -> str:
    return " ".join([f"{_field_name(name)}={_logfmt_value(value)}" for name, value in event.items()])


@lru_cache(maxsize=1024)
def _field_name(name: str) -> str:
    return _NO_NAME.sub("_", name)


def _logfmt_value(value: object) -> str:
    if type(value) is str and _PLAIN.fullmatch(value):  # nearly always
        return value
    if type(value) is int:
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if _BARE.fullmatch(text) and not _UNSAFE.search(text):
        return text
    # JSON escapes the controls below blank by itself; the rest of the unsafe ones here.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


def _to_record(_logger: WrappedLogger, _method: str, event: EventDict) -> tuple[tuple[str], dict[str, Any]]:
    """The last step of structlog: its event as a call of the standard library's logger."""
    message = _text(event.pop("event", ""))
    exc_info, stack_info = event.pop("exc_info", None), bool(event.pop("stack_info", False))
    return (message,), {"exc_info": exc_info, "stack_info": stack_info, "extra": {_FIELDS: event}}


def get(component: str) -> structlog.stdlib.BoundLogger:
    """The logger of one part of the relay: `get("delivery").info("sent", channel=name)`; data are fields, never words."""
    logger: structlog.stdlib.BoundLogger = structlog.wrap_logger(
        logging.getLogger(f"relay.{component}"),
        processors=[structlog.stdlib.filter_by_level, structlog.contextvars.merge_contextvars, _to_record],
        wrapper_class=structlog.stdlib.BoundLogger,
    ).bind()  # unbound, structlog would build the whole chain anew for every event
    return logger


def configure(level: Level, fmt: Format, stream: TextIO | None = None, secrets: Iterable[SecretStr] = ()) -> None:
    """Sends all logging of the process to `stream` (stderr if None). May be called again; known secrets stay known.

    Libraries speak from warning on (info with level debug), for at debug they print whole requests.
    """
    root, threshold = logging.getLogger(), logging.getLevelNamesMapping()[level.upper()]
    mask = _Mask()
    for handler in root.handlers[:]:
        if isinstance(handler, _Handler):
            mask = handler.mask
            root.removeHandler(handler)
    root.addHandler(_Handler(stream or sys.stderr, fmt, mask))
    root.setLevel(logging.INFO if threshold <= logging.DEBUG else max(threshold, logging.WARNING))
    logging.getLogger("relay").setLevel(threshold)
    # none of it is shown, and gathering it takes longer than the rest (the logging HOWTO's "Optimization")
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # noqa: SLF001  as the HOWTO says
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_uncaught
    for secret in secrets:
        register_secret(secret)


def register_secret(secret: SecretStr) -> None:
    """Has this secret masked in every line from now on; raises `RuntimeError` before `configure`."""
    handlers = [handler for handler in logging.getLogger().handlers if isinstance(handler, _Handler)]
    if not handlers:
        raise RuntimeError("configure logging before secrets are registered")
    for handler in handlers:
        handler.mask.add(secret.get_secret_value())


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """What ends the process is an event like any other."""
    if issubclass(kind, KeyboardInterrupt):
        return
    get("process").critical("uncaught exception", exc_info=(kind, error, trace))
