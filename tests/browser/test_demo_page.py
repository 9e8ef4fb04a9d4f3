"""The demo's page in a real browser: what people see, press and type, on a desk and on a phone, by day and by night."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from relay.demo.scene import CHAT
from relay.demo.show import Plan, Show
from relay.demo.source import Alert, find_alertmanager
from relay.demo.story import BROKEN, WARNING, storm

PICTURE = Path(__file__).parents[2] / "docs" / "img" / "demo.png"
LARGEST_PICTURE = 300_000
DESK, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE = 30_000
POISON = "<img src=x onerror=document.title='run'><script>document.title='run'</script>*b* <!channel> &amp;"


@pytest.fixture
async def show() -> AsyncIterator[Show]:
    """Everything but the story, with the stand-in of Alertmanager."""
    running = Show(Plan(story=False, hurried=True, pace=0.05))
    try:
        await running.start()
        await running.open()
        yield running
    finally:
        await running.stop()


@asynccontextmanager
async def opened(browser: Browser, show: Show, size: dict[str, int], scheme: str = "light") -> AsyncIterator[Page]:
    """The page; fails for what the browser complains about."""
    dark = scheme == "dark"
    context = await browser.new_context(
        viewport={"width": size["width"], "height": size["height"]},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
    )
    page = await context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    await page.goto(show.page.url)
    yield page
    await context.close()
    assert complaints == []


async def burn(show: Show) -> None:
    """The story up to its critical group, as fast as it goes."""
    messages = show.scene.telegram.chat(CHAT).messages
    await show.source.fire([WARNING])
    await show.scene.telegram.until(lambda: messages)
    await show.source.fire([WARNING, *BROKEN])
    await show.scene.telegram.until(lambda: len(messages) == 2)


async def test_three_programs_show_the_same_incident_as_it_grows(browser: Browser, show: Show) -> None:
    async with opened(browser, show, DESK) as page:
        await show.source.fire([WARNING])
        first = page.locator("#telegram .message").first
        await expect(first).to_contain_text("Warning: HighResponseLatency", timeout=PATIENCE)
        await expect(page.locator("#slack .post").first).to_contain_text("HighResponseLatency", timeout=PATIENCE)
        await show.source.fire([WARNING, *BROKEN])
        await expect(first).to_contain_text("Critical: PipelineErrorsHigh", timeout=PATIENCE)
        await expect(first.locator(".meta")).to_contain_text("edited")
        await expect(page.locator("#telegram .quote")).to_contain_text("PipelineErrorsHigh", timeout=PATIENCE)
        await expect(page.locator("#slack summary").first).to_have_text("1 reply", timeout=PATIENCE)
        await expect(page.locator("#slack .replies").first).to_contain_text("new, critical")
        await expect(page.locator("#mail-list button")).to_contain_text("Call centre", timeout=PATIENCE)
        await expect(page.frame_locator("#mail iframe").locator("body")).to_contain_text("PipelineErrorsHigh")
        assert (
            await page.locator("#mail iframe").get_attribute("sandbox") == "allow-popups allow-popups-to-escape-sandbox"
        )


async def test_a_press_is_answered_and_everybody_sees_who_has_it(browser: Browser, show: Show) -> None:
    await burn(show)
    async with opened(browser, show, DESK) as page:
        await page.get_by_role("button", name="Ack", exact=True).last.click()
        await expect(page.locator("#toast")).to_contain_text("You have it", timeout=PATIENCE)
        await expect(page.locator("#telegram .message").first).to_contain_text("anna", timeout=PATIENCE)
        await expect(page.locator("#slack .post").first).to_contain_text("Acked by anna", timeout=PATIENCE)


async def test_everything_is_reached_by_keyboard(browser: Browser, show: Show) -> None:
    await burn(show)
    async with opened(browser, show, DESK) as page:
        await expect(page.locator("#telegram .keyboard").nth(1)).to_be_visible()
        seen: list[str] = []
        for _ in range(80):
            await page.keyboard.press("Tab")
            seen.append(await page.evaluate("document.activeElement.id || document.activeElement.textContent"))
            assert await page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none", seen
            if seen[-1] == "say":
                break
        assert {"fire", "resolve", "telegram-log", "Ack", "Silence", "Details", "/help", "say"} <= set(seen)
        await page.keyboard.type("/whoami")
        await page.keyboard.press("Enter")
        await expect(page.locator("#telegram .message").last).to_contain_text("1001", timeout=PATIENCE)
        assert await page.evaluate("document.activeElement.id") == "say"


async def test_a_message_drawn_anew_leaves_the_focus_on_its_button(browser: Browser, show: Show) -> None:
    await burn(show)
    async with opened(browser, show, DESK) as page:
        await page.locator("#telegram .message").first.get_by_role("button", name="Ack").focus()
        await page.keyboard.press("Enter")
        await expect(page.locator("#telegram .message").first).to_contain_text("anna", timeout=PATIENCE)
        assert await page.evaluate("document.activeElement.textContent") == "Unack"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_a_phone_one_program_at_a_time_and_nothing_sideways(browser: Browser, show: Show, scheme: str) -> None:
    await burn(show)
    wide = {"alertname": "W" * 300, "severity": "critical", "service": "x" * 300}
    await show.source.fire([*storm(3), Alert(labels=wide, annotations={"summary": "y" * 500})])
    await show.scene.telegram.until(lambda: len(show.scene.telegram.chat(CHAT).messages) >= 6)
    async with opened(browser, show, PHONE, scheme) as page:
        for name in ("Slack", "Mail", "Telegram"):
            await page.get_by_role("tab", name=name).click()
            await expect(page.locator(f"#{name.lower()}")).to_be_visible()
            assert await page.locator("section:visible").count() == 1
            assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            log = page.locator(f"#{name.lower()}-log")
            if await log.count():
                assert await log.evaluate("one => one.scrollWidth - one.clientWidth") <= 0
        await expect(page.locator("#say")).to_be_in_viewport()
        background = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert background == ("rgb(15, 21, 27)" if scheme == "dark" else "rgb(238, 241, 245)")


async def test_in_russian_the_page_is_too(browser: Browser) -> None:
    show = Show(Plan(story=False, hurried=True, language="ru"))
    try:
        await show.start()
        async with opened(browser, show, PHONE) as page:
            await expect(page.locator("#progress")).to_have_text("Запускаем relay …", timeout=PATIENCE)
            await expect(page.locator("html")).to_have_attribute("lang", "ru")
            await expect(page.locator("#fire")).to_have_text("Зажечь алерт")
            await expect(page.locator("#tab-mail")).to_contain_text("Почта")
            await expect(page.locator("#say")).to_have_attribute(
                "placeholder", "Сообщение или команда, например /alerts"
            )
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    finally:
        await show.stop()


async def test_what_alerts_say_is_text_and_runs_nowhere(browser: Browser, show: Show) -> None:
    labels = {"alertname": POISON, "severity": "critical", "service": POISON}
    async with opened(browser, show, DESK) as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await show.source.fire([Alert(labels=labels, annotations={"summary": POISON, "runbook_url": "javascript:1"})])
        for pane in ("#telegram .message", "#slack .post", "#mail-list button"):
            await expect(page.locator(pane).first).to_contain_text("onerror", timeout=PATIENCE)
        await expect(page.frame_locator("#mail iframe").locator("body")).to_contain_text("onerror")
        assert await page.title() == "Alertmanager Relay · demo"
        assert await page.locator("main script, main img").count() == 0
        assert await page.locator('a[href^="javascript"]').count() == 0
        assert [url for url in asked if not url.startswith((show.page.url, "about:", "data:"))] == []


async def test_the_page_comes_back_by_itself(browser: Browser, show: Show) -> None:
    await burn(show)
    async with opened(browser, show, DESK) as page:
        await expect(page.locator("#telegram .message")).to_have_count(2, timeout=PATIENCE)
        await page.reload()
        await expect(page.locator("#telegram .message")).to_have_count(2, timeout=PATIENCE)
        await expect(page.locator("#progress")).to_contain_text("Ready")


async def test_play_tells_the_story_and_shows_how_far_it_is(browser: Browser, show: Show) -> None:
    async with opened(browser, show, DESK) as page:
        await page.get_by_role("button", name="Play").click()
        await expect(page.locator("#progress")).to_contain_text("Over.", timeout=90_000)
        assert await page.locator("#bar").get_attribute("aria-valuenow") == "8"
        await expect(page.get_by_role("button", name="Play again")).to_be_enabled()


async def test_the_picture_in_the_readme_is_of_this_page_and_small(browser: Browser) -> None:
    """`UPDATE_PICTURES=1` takes it anew, with a real Alertmanager, while the critical group is shown."""
    if os.environ.get("UPDATE_PICTURES"):
        show = Show(Plan(story=False, program=find_alertmanager()))
        try:
            await show.start()
            await show.open()
            await take_picture(browser, show)
        finally:
            await show.stop()
    assert PICTURE.read_bytes()[16:24] == (1280).to_bytes(4, "big") + (800).to_bytes(4, "big")
    assert PICTURE.stat().st_size < LARGEST_PICTURE


async def take_picture(browser: Browser, show: Show) -> None:
    async with opened(browser, show, DESK) as page:
        show.play()
        await expect(page.locator("#telegram .quote")).to_be_visible(timeout=60_000)
        await expect(page.locator("#telegram .message").first).to_contain_text("3 firing", timeout=PATIENCE)
        await expect(page.locator("#mail iframe")).to_be_visible(timeout=PATIENCE)
        await expect(page.locator("#slack .replies .post")).to_be_visible(timeout=PATIENCE)
        await page.locator("#telegram-log").evaluate("one => one.scrollTo(0, 0)")  # the living message, all of it
        await page.wait_for_timeout(2000)  # the highlight of the edit fades
        await page.screenshot(path=PICTURE)
