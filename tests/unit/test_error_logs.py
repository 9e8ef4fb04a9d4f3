"""The watch over error logs that every test runs under."""

from __future__ import annotations

import asyncio
import gc
import logging

import pytest

from relay import logs
from tests.error_logs import ErrorLogs


@pytest.mark.expects_errors
def test_an_error_of_a_library_is_noticed_with_its_cause() -> None:
    with ErrorLogs() as errors:
        try:
            int("no number")
        except ValueError:
            logging.getLogger("some.library").exception("could not send")
    assert errors.seen == [
        "some.library: could not send (ValueError(\"invalid literal for int() with base 10: 'no number'\"))"
    ]


@pytest.mark.expects_errors
def test_an_error_of_our_own_logger_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    with ErrorLogs() as errors:
        logs.get("delivery").error("delivery failed", channel="ops-mail")
    assert any("delivery failed" in text and "ops-mail" in text for text in errors.seen)
    capsys.readouterr()


def test_warnings_are_no_errors(capsys: pytest.CaptureFixture[str]) -> None:
    with ErrorLogs() as errors:
        logging.getLogger("some.library").warning("slow")
        logs.get("delivery").warning("slow")
    assert errors.seen == []
    capsys.readouterr()


@pytest.mark.expects_errors
async def test_a_task_that_dies_unseen_is_noticed() -> None:
    async def die() -> None:
        raise RuntimeError("nobody awaits me")

    with ErrorLogs() as errors:
        task = asyncio.create_task(die())
        await asyncio.wait([task])
        del task
        gc.collect()
    assert any("nobody awaits me" in text for text in errors.seen)
