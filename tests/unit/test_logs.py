from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from relay import logs
from relay.logs import MASK, Format, Level

SECRET = '110201543:AA"Hd\\q/TvaÉ x'
ROOT = Path(__file__).parents[2]
FORMATS: tuple[Format, ...] = ("logfmt", "json")

pytestmark = pytest.mark.expects_errors


@contextlib.contextmanager
def configured(fmt: Format = "logfmt", level: Level = "info", *secrets: str) -> Iterator[io.StringIO]:
    """Logging as the process has it, into a text; everything as it was before afterwards."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, sys.excepthook
    root.handlers.clear()  # the test runner's own cannot write everything
    stream = io.StringIO()
    logs.configure(level, fmt, stream, [SecretStr(secret) for secret in secrets])
    try:
        yield stream
    finally:
        root.handlers[:], level_before, sys.excepthook = before
        root.setLevel(level_before)
        logging.getLogger("relay").setLevel(logging.NOTSET)
        logging.captureWarnings(capture=False)


def read_logfmt(line: str) -> dict[str, str]:
    """An independent reading: blanks part the pairs, a quoted value is a JSON text."""
    pairs = re.findall(r'([\w.:-]+)=("(?:[^"\\]|\\.)*"|\S*)(?: |$)', line)
    assert " ".join(f"{name}={value}" for name, value in pairs) == line
    return {name: json.loads(value) if value.startswith('"') else value for name, value in pairs}


def test_an_event_is_one_line_of_logfmt() -> None:
    with configured() as out:
        logs.get("delivery").info("sent", channel="team chat", attempt=2, late=None, ok=True, names=["a", "b"])
    line = out.getvalue()
    assert re.fullmatch(
        r"time=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=info component=delivery event=sent "
        r'channel="team chat" attempt=2 late=null ok=true names="\[\\"a\\", \\"b\\"\]"\n',
        line,
    )


def test_an_event_is_one_line_of_json() -> None:
    with configured("json") as out:
        logs.get("delivery").warning("слово", channel="чат", ratio=0.5, nested={"a": {1: [None]}})
    event = json.loads(out.getvalue())
    assert list(event)[:4] == ["time", "level", "component", "event"]
    assert event["level"], event["component"] == ("warning", "delivery")
    assert (event["event"], event["channel"], event["ratio"], event["nested"]) == (
        "слово",
        "чат",
        0.5,
        {"a": {"1": [None]}},
    )


def test_times_are_utc_wherever_the_process_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with configured("json") as out:
            logs.get("x").info("now")
    finally:
        monkeypatch.undo()
        time.tzset()
    shown = json.loads(out.getvalue())["time"]
    assert abs(time.time() - _seconds(shown)) < 60


def fail(error: Exception, cause: Exception | None = None) -> None:
    raise error from cause


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@pytest.mark.parametrize("fmt", FORMATS)
def test_libraries_speak_through_the_same_renderer(fmt: Format) -> None:
    with configured(fmt) as out:
        logging.getLogger("aiohttp.server").warning("Error %s\n%d", "a\nb", 5)
        logging.getLogger("aiogram.event").info("each update")
        logging.getLogger("alembic.runtime.migration").info("Context impl")
        logging.getLogger("odd").warning("%d", "no number")
    lines = out.getvalue().splitlines()
    events = [json.loads(line) if fmt == "json" else read_logfmt(line) for line in lines]
    assert [(event["component"], event["event"]) for event in events] == [
        ("aiohttp.server", "Error a\nb\n5"),
        ("odd", "%d"),
    ]


@pytest.mark.parametrize(
    ("level", "ours", "theirs"),
    [
        ("debug", ["debug", "info", "warning", "error"], ["info", "warning", "error"]),
        ("info", ["info", "warning", "error"], ["warning", "error"]),
        ("warning", ["warning", "error"], ["warning", "error"]),
        ("error", ["error"], ["error"]),
    ],
)
def test_the_level_holds_for_us_and_libraries_are_quieter(level: Level, ours: list[str], theirs: list[str]) -> None:
    with configured("json", level) as out:
        for name in ("debug", "info", "warning", "error"):
            getattr(logs.get("x"), name)("event")
            getattr(logging.getLogger("library"), name)("event")
    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["level"] for event in events if event["component"] == "x"] == ours
    assert [event["level"] for event in events if event["component"] == "library"] == theirs


@given(st.text(), st.text(), st.text(min_size=1), st.sampled_from(FORMATS))
def test_no_value_forges_a_line_or_a_field(event: str, value: str, name: str, fmt: Format) -> None:
    with configured(fmt) as out:
        logs.get("x").info(event, **{"first": value, name if name != "event" else "e": value, "last": 1})
    text = out.getvalue()
    assert text.endswith("\n")
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    (line,) = text.splitlines()
    read = json.loads(line) if fmt == "json" else read_logfmt(line)
    assert read["level"] == "info"
    assert read["component"] == "x"
    assert read["event"] == event
    if name not in ("first", "last"):
        assert read["first"] == value


def test_fields_named_like_ours_do_not_replace_them() -> None:
    with configured("json") as out:
        logs.get("x").info("event", time="never", level="critical", component="other", name="n", message="m", args=1)
    event = json.loads(out.getvalue())
    assert (event["level"], event["component"], event["event"]) == ("info", "x", "event")
    assert (event["time_"], event["level_"], event["component_"]) == ("never", "critical", "other")
    assert (event["name"], event["message"], event["args"]) == ("n", "m", 1)


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_traceback_stays_on_the_events_line(fmt: Format) -> None:
    with configured(fmt) as out:
        try:
            fail(ValueError("two\nlines"))
        except ValueError:
            logs.get("x").exception("failed")
    (line,) = out.getvalue().splitlines()
    event = json.loads(line) if fmt == "json" else read_logfmt(line)
    assert event["level"] == "error"
    assert "Traceback" in event["exception"]
    assert event["exception"].endswith("ValueError: two\nlines")


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_secret_is_masked_wherever_it_stands(fmt: Format) -> None:
    with configured(fmt) as out:
        logs.register_secret(SecretStr(SECRET))
        log = logs.get("x")
        event = f"event {SECRET}"
        log.info(event, value=SECRET, nested={"list": [SECRET], SECRET: 1}, bytes=SECRET.encode())
        log.info("urls", a=f"https://host/bot{quote(SECRET)}/x", b=quote(SECRET, safe=""), c=f"?t={quote_plus(SECRET)}")
        log.info("texts", a=json.dumps({"t": SECRET}), b=json.dumps(SECRET, ensure_ascii=False), c=repr(SECRET))
        logging.getLogger("library").error("Token %s and %r", SECRET, SECRET)
        try:
            fail(ValueError(f"https://api/bot{SECRET}/sendMessage"))
        except ValueError as error:
            log.exception("failed", error=error)
            logging.getLogger("library").warning("failed", exc_info=True)
            try:
                fail(RuntimeError("second"), error)
            except RuntimeError:
                log.warning("chained", exc_info=True)
    text = out.getvalue()
    for part in ("110201543", "TvaÉ", "Tva%C3", "Tva\\u00c9", "Hd\\"):
        assert part not in text
    assert text.count(MASK) >= 12


def test_secrets_stay_masked_when_logging_is_configured_anew() -> None:
    with configured("logfmt", "info", "first-secret"):
        stream = io.StringIO()
        logs.configure("info", "json", stream, [SecretStr("second-secret")])
        logs.get("x").info("both", value="first-secret second-secret")
        assert json.loads(stream.getvalue())["value"] == f"{MASK} {MASK}"


def test_configured_twice_an_event_is_written_once() -> None:
    with configured() as first:
        second = io.StringIO()
        logs.configure("info", "logfmt", second)
        logs.get("x").info("once")
        assert first.getvalue() == ""
        assert second.getvalue().count("once") == 1


def test_a_secret_within_another_leaves_no_rest() -> None:
    with configured("logfmt", "info", "token", "token-with-more") as out:
        logs.get("x").info("event", value="token-with-more")
    assert f"value={MASK}\n" in out.getvalue()


def test_a_secret_of_digits_is_masked_in_numbers_too_and_json_stays_json() -> None:
    with configured("json", "info", "987654") as out:
        logs.get("x").info("event", pin=987654, other=98765)
    event = json.loads(out.getvalue())
    assert (event["pin"], event["other"]) == (MASK, 98765)


def test_empty_and_tiny_secrets_do_not_blot_out_everything() -> None:
    with configured("logfmt", "info", "", "a", "abc") as out:
        logs.get("x").info("abc")
    assert "event=abc" in out.getvalue()


def test_a_secret_before_logging_is_configured_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # another test may have configured it
    with pytest.raises(RuntimeError, match="configure"):
        logs.register_secret(SecretStr("secret"))


class _Broken:
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize("fmt", FORMATS)
def test_no_value_costs_the_event(fmt: Format) -> None:
    loop: list[object] = []
    loop.append(loop)
    values = {
        "broken": _Broken(),
        "loop": loop,
        "key": {_Broken(): 1, (1, 2): 2, None: 3},
        "nan": float("nan"),
        "huge": 10**400,
        "vast": 10**5000,
        "bytes": b"\xff",
        "secret": SecretStr("hidden-value"),
        "set": {1},
        "error": ValueError("x"),
    }
    with configured(fmt) as out:
        logs.get("x").info("event", **values)
    (line,) = out.getvalue().splitlines()
    assert "hidden-value" not in line
    event = json.loads(line) if fmt == "json" else read_logfmt(line)
    assert set(values) < set(event)
    assert "cannot be shown" in event["broken"]


def test_a_closed_stream_is_no_second_error(capfd: pytest.CaptureFixture[str]) -> None:
    with configured("logfmt", "info", SECRET) as out:
        out.close()
        logs.get("x").info("event", value=SECRET)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_prepared_event_is_told_when_it_is_called_and_not_before(fmt: Format) -> None:
    with configured(fmt, "info", SECRET) as out:
        tell = logs.get("x").prepared("event", value=SECRET, other="one\ntwo")
        assert out.getvalue() == ""
        tell()
        told = out.getvalue()
        logs.get("x").info("event", value=SECRET, other="one\ntwo")
    assert MASK in told
    assert re.sub("time.*Z", "", out.getvalue()).splitlines() == [re.sub("time.*Z", "", told).rstrip("\n")] * 2


def test_a_prepared_event_obeys_the_level_and_reaches_whoever_else_listens() -> None:
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    with configured("logfmt", "warning") as out:
        logs.get("x").prepared("too little")()
    with configured() as listened:
        logging.getLogger().addHandler(Listener())
        tell = logs.get("x").prepared("event")
        assert heard == []
        tell()
    assert out.getvalue() == ""
    assert heard == ["event"]
    assert "event=event" in listened.getvalue()


def test_a_logger_made_before_logging_is_configured_obeys_it() -> None:
    log = logs.get("early")
    with configured("json") as out:
        log.info("later")
    assert json.loads(out.getvalue())["component"] == "early"


def test_warnings_are_events() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        with configured("json") as out:
            warnings.warn("old thing", DeprecationWarning, stacklevel=1)
    event = json.loads(out.getvalue())
    assert event["component"] == "py.warnings"
    assert "old thing" in event["event"]


def test_what_ends_the_process_is_an_event_without_secrets_on_stderr() -> None:
    program = (
        "from pydantic import SecretStr\n"
        "from relay import logs\n"
        "logs.configure('info', 'json', None, [SecretStr('top-secret-token')])\n"
        "raise RuntimeError('url with top-secret-token')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    event = json.loads(done.stderr)
    assert (event["level"], event["component"]) == ("critical", "process")
    assert "RuntimeError" in event["exception"]
    assert "top-secret-token" not in done.stderr


def test_basic_credentials_are_the_business_of_who_makes_them() -> None:
    """The mask knows what it was told: a header made of a secret has to be registered itself."""
    header = base64.b64encode(b"user:top-secret").decode()
    with configured("logfmt", "info", "top-secret", header) as out:
        logs.get("x").info("event", header=f"Basic {header}")
    assert header not in out.getvalue()
