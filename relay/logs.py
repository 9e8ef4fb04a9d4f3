"""What the process says on stderr: one event per line, logfmt or JSON, ours and the libraries' alike, never a secret.

Events go through the standard library's logging, which is one per process by nature; nothing else here is global.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Literal, TextIO
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

Level = Literal["debug", "info", "warning", "error"]
Format = Literal["logfmt", "json"]

MASK = "**********"
LARGEST = 2**63
SHORTEST_SECRET = 4
"""Shorter ones are not masked: they would blot out half of every line and are no secrets to anyone."""

_FIELDS = "relay_fields"
_TRACEBACKS = logging.Formatter()
_OWN_KEYS = frozenset({"time", "level", "component", "event", "exception", "stack"})
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
        return self._pattern.sub(MASK, text) if self.finds(text) else text

    def finds(self, text: str) -> bool:
        """A search for each is many times faster than one pattern of them all."""
        return any(map(text.__contains__, self._variants))


class _Handler(logging.Handler):
    """Writes events to the stream, a line each; one that cannot be written is dropped, never shown raw."""

    def __init__(self, stream: TextIO, fmt: Format, mask: _Mask) -> None:
        super().__init__()
        self.mask = mask
        self._stream = stream
        self._write = _json if fmt == "json" else _logfmt
        self._turn = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        trace = _TRACEBACKS.formatException(record.exc_info) if record.exc_info else None
        level, component = record.levelname.lower(), record.name.removeprefix("relay.")
        fields = getattr(record, _FIELDS, {})
        self.put(self.line(record.created, level, component, _message(record), fields, trace, record.stack_info))

    def line(
        self,
        at: float,
        level: str,
        component: str,
        event: str,
        fields: Mapping[str, Any],
        exception: str | None = None,
        stack: str | None = None,
    ) -> str:
        """The event as it is written, or nothing if it cannot be."""
        seconds, milliseconds = divmod(int(at * 1000), 1000)
        line: dict[str, Any] = {
            "time": f"{_second(seconds)}.{milliseconds:03d}Z",
            "level": level,
            "component": component,
            "event": event,
        }
        if _OWN_KEYS.isdisjoint(fields):
            line.update(fields)
        else:
            line.update({f"{name}_" if name in _OWN_KEYS else name: value for name, value in fields.items()})
        if exception is not None:
            line["exception"] = exception
        if stack is not None:
            line["stack"] = stack
        try:
            return self._text_of(line) + "\n"
        except Exception:  # noqa: BLE001  logging's own way to tell it would pass the mask
            return ""

    def put(self, line: str) -> None:
        try:
            with self._turn:
                self._stream.write(line)
                self._stream.flush()
        except Exception:  # noqa: BLE001, S110  there is no other place to tell it
            pass

    def _text_of(self, line: Mapping[str, Any]) -> str:
        """Most lines hold nothing but texts and numbers and no secret: those are written once and searched once."""
        if all(map(_is_simple, line.values())):
            text = self._write(line)
            if "\\" not in text and not self.mask.finds(text):  # what is escaped may hide a secret from the search
                return text
        return self._write(self._masked(line))

    def _masked(self, event: Mapping[str, Any]) -> dict[str, Any]:
        mask, plain = self.mask, self._plain
        return {name: mask(value) if type(value) is str else plain(value) for name, value in event.items()}

    def _plain(self, value: object, depth: int = 0) -> Any:
        """The value as JSON knows it, without secrets; whatever it is, this does not fail."""
        if isinstance(value, str):
            return self.mask(value)
        if _is_small(value):
            return value
        if isinstance(value, int | float):
            shown = _text(value)
            whole = abs(value) < LARGEST and self.mask(shown) == shown  # JSON knows no NaN, readers no larger numbers
            return value if whole else self.mask(shown)
        if isinstance(value, Mapping) and depth < 5:
            return {self.mask(_text(name)): self._plain(item, depth + 1) for name, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset) and depth < 5:
            return [self._plain(item, depth + 1) for item in value]
        return self.mask(_text(value))


def _is_simple(value: object) -> bool:
    """Whether it is written as it is, unless a secret stands in it."""
    return type(value) is str or value is None or type(value) is bool or (type(value) is int and abs(value) < LARGEST)


def _is_small(value: object) -> bool:
    """Whether it is shorter than any secret that is masked."""
    return value is None or type(value) is bool or (type(value) is int and -1000 < value < 1000)


@lru_cache(maxsize=16)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")


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
    plain = _PLAIN.fullmatch
    return " ".join(
        [
            _field_start(name)
            + (value if type(value) is str and (value.isalnum() or plain(value)) else _logfmt_value(value))
            for name, value in event.items()
        ]
    )


@lru_cache(maxsize=1024)
def _field_start(name: str) -> str:
    return _NO_NAME.sub("_", name) + "="


def _logfmt_value(value: object) -> str:
    if type(value) is int:
        return str(value)
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not text:
        return '""'
    if _BARE.fullmatch(text) and not _UNSAFE.search(text):
        return text
    # JSON escapes the controls below blank by itself; the rest of the unsafe ones here.
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(text, ensure_ascii=False))


class Log:
    """The logger of one part of the relay: `get("delivery").info("sent", channel=name)`; data are fields, never words."""

    def __init__(self, component: str) -> None:
        self._component = component
        self._logger = logging.getLogger(f"relay.{component}")

    def debug(self, event: str, /, **fields: Any) -> None:
        self._say(logging.DEBUG, "debug", event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        self._say(logging.INFO, "info", event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        self._say(logging.WARNING, "warning", event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        self._say(logging.ERROR, "error", event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """An error with the traceback of what is being handled."""
        self._logger.exception(event, extra={_FIELDS: fields})  # noqa: LOG004  our caller is in the handler

    def prepared(self, event: str, /, **fields: Any) -> Callable[[], None]:
        """An event of level info that is told when the result is called, and written out now: that is most of the work."""
        handler = self._only_handler()
        if handler is None or not self._logger.isEnabledFor(logging.INFO):
            return partial(self._say, logging.INFO, "info", event, fields)
        return partial(handler.put, handler.line(time.time(), "info", self._component, event, fields))

    def _say(self, level: int, name: str, event: str, fields: dict[str, Any]) -> None:
        if not self._logger.isEnabledFor(level):
            return
        handler = self._only_handler()
        if handler is not None:
            handler.put(handler.line(time.time(), name, self._component, event, fields))
        else:
            self._logger.log(level, event, extra={_FIELDS: fields})

    @staticmethod
    def _only_handler() -> _Handler | None:
        """Ours, if nobody else listens: a record for the others would cost as much again."""
        handlers = logging.root.handlers
        handler = handlers[0] if len(handlers) == 1 else None
        return handler if type(handler) is _Handler else None


def get(component: str) -> Log:
    return Log(component)


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
    logging.getLogger("relay.process").critical("uncaught exception", exc_info=(kind, error, trace))
