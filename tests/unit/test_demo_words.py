"""The demo's page in Russian: every text that people read on it has one, and none is left over."""

from __future__ import annotations

import re

from relay.demo import page, source, story
from tests.programs import ROOT

STATIC = ROOT / "relay" / "demo" / "static"
SAME = {"Alertmanager Relay", "demo", "Telegram", "Slack", "O", "OK", "# alerts"}
"""What both languages write alike."""


def words() -> dict[str, str]:
    return dict(re.findall(r'^  "(.+)": "(.+)",$', (STATIC / "words.js").read_text("utf-8"), re.MULTILINE))


def texts_of_the_page() -> set[str]:
    html = (STATIC / "page.html").read_text("utf-8").partition("<body")[2]
    seen = {text.strip() for text in re.findall(r">([^<>]+)<", html)} - {""}
    named = set(re.findall(r'(?:aria-label|placeholder)="([^"]+)"', html))
    return {text for text in seen | named if not text.startswith("/")}


def texts_of_the_programs() -> set[str]:
    shown = "".join((STATIC / name).read_text("utf-8") for name in ("page.js", "render.js"))
    calls = [call for call in re.findall(r"\bt\(([^;]*?)\)[;,)} ]", shown) if '"' in call]
    told = re.findall(r'self\.told = "([^"]+)"', _text_of(source))
    steps = re.findall(r'self\._now\(\d, f?"([^"]+)"', _text_of(story))
    toasts = re.findall(r'"text": "([^"]+)"', _text_of(page))
    assert len(steps) == 9, "every step of the story"
    return {
        *(text for call in calls for text in re.findall(r'"([^"]+)"', call)),
        *(text.replace("{STORM}", str(story.STORM)) for text in steps),
        *told,
        *toasts,
    }


def _text_of(module: object) -> str:
    return (ROOT / f"{module.__name__.replace('.', '/')}.py").read_text("utf-8")  # type: ignore[attr-defined]  # a module


def test_every_text_of_the_page_has_its_russian() -> None:
    assert (texts_of_the_page() | texts_of_the_programs()) - SAME - words().keys() == set()


def test_no_russian_is_left_over() -> None:
    assert words().keys() - texts_of_the_page() - texts_of_the_programs() == set()
    assert all(re.search("[а-яё]", russian, re.IGNORECASE) for russian in words().values())
