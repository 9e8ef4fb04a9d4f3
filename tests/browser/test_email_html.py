"""A mail as people see it: in a real browser, on a phone and on a desk, by day and by night."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.async_api import Browser, Page, Request

from relay.channels.email import EmailChannel, EmailOptions, MailServer, SmtpConfig
from relay.clock import MINUTE
from relay.notification import AlertState, AlertView, Changes, Notice
from relay.rendering import Renderer
from tests.factories import NIGHT, make_alert_view, make_incident_view, make_notice, many_alerts

PICTURES = Path(__file__).parents[2] / "docs" / "channels" / "img"
PHONE, DESK = 390, 1000
WIDE = "W" * 400

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


def grown() -> Notice:
    dashboard = {"dashboard_url": "https://grafana.example.org/d/node"}

    def host(number: int, percent: int, severity: str = "critical", **values: Any) -> AlertView:
        labels = {"instance": f"db-{number}:9100", "severity": severity}
        summary = {"summary": f"Disk /var on db-{number} is {percent} % full"}
        return make_alert_view(labels=labels, annotations=dashboard | summary, **values)

    alerts = (
        host(3, 97, acked_by="anna", ack_note="on it"),
        host(5, 91, "error", state=AlertState.SILENCED),
        host(4, 88, "warning", starts_at=NIGHT + MINUTE),
        host(1, 95, state=AlertState.RESOLVED),
    )
    view = make_incident_view(*alerts, group_labels={"alertname": "DiskFull", "job": "node"}, revision=3)
    return make_notice(view, changes=Changes(fired=view.firing[:1], resolved=view.resolved))


def over() -> Notice:
    view = make_incident_view(make_alert_view(state=AlertState.RESOLVED))
    return make_notice(view, changes=Changes(all_resolved=True, resolved=view.resolved))


def endless() -> Notice:
    alert = make_alert_view(
        WIDE, labels={WIDE: WIDE, "x": WIDE}, annotations={"summary": WIDE, "runbook_url": f"https://{WIDE}"}
    )
    return make_notice(make_incident_view(alert, make_alert_view("Other"), receiver=WIDE))


def storm() -> Notice:
    return make_notice(make_incident_view(*many_alerts(60)))


CASES: dict[str, Callable[[], Notice]] = {"grown": grown, "over": over, "endless": endless, "storm": storm}


async def open_mail(browser: Browser, notice: Notice, width: int, scheme: Scheme) -> Page:
    smtp = SmtpConfig.model_validate({"host": "mail.example.org", "from": "alerts@example.org"})
    options = EmailOptions.model_validate({"type": "email", "to": "ops@example.org"})
    channel = EmailChannel(name="mail", options=options, server=MailServer(smtp), renderer=Renderer())
    page = await browser.new_page(viewport={"width": width, "height": 600}, color_scheme=scheme)
    await page.set_content(channel.render(notice).files["message.html"].decode())
    return page


@pytest.mark.parametrize("case", CASES)
async def test_a_mail_never_scrolls_sideways(browser: Browser, case: str) -> None:
    for width, scheme in itertools.product((320, PHONE, DESK), SCHEMES):
        page = await open_mail(browser, CASES[case](), width, scheme)
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
        if case in {"grown", "over"} and width != 320 and os.environ.get("UPDATE_PICTURES"):
            path = PICTURES / f"email-{case}-{'phone' if width == PHONE else 'desk'}-{scheme}.png"
            await page.locator("table.page").screenshot(path=path)
        await page.close()


async def test_the_preheader_is_read_by_the_list_of_mails_alone(browser: Browser) -> None:
    page = await open_mail(browser, grown(), PHONE, "light")
    preheader = page.locator(".preheader")
    assert await preheader.text_content() == "3 firing, 1 resolved"
    assert not await preheader.is_visible()
    first = await page.evaluate("document.body.textContent.trim().slice(0, 20)")
    assert first == "3 firing, 1 resolved"


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_can_be_read(browser: Browser, scheme: Scheme) -> None:
    """WCAG AA: a contrast of 4.5 between each text and what is behind it."""
    page = await open_mail(browser, grown(), PHONE, scheme)
    weak = await page.evaluate(
        """() => {
          const light = (c) => { const [r, g, b] = c.match(/[0-9.]+/g).map(Number).map(v => v / 255)
            .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
            return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
          const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
            if (!c.startsWith('rgba(0, 0, 0, 0')) return c; } return 'rgb(255, 255, 255)'; };
          return [...document.querySelectorAll('td, b, a, h1, p, span, div')].filter(e => e.className !== 'preheader'
              && [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
            const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
            return [(a + 0.05) / (b + 0.05), e.textContent.trim().slice(0, 30)]; }).filter(([ratio]) => ratio < 4.5); }"""
    )
    assert weak == []


async def test_by_night_the_page_is_dark(browser: Browser) -> None:
    page = await open_mail(browser, grown(), PHONE, "dark")
    colour = await page.evaluate("getComputedStyle(document.querySelector('table.card')).backgroundColor")
    assert colour == "rgb(27, 34, 43)"


async def test_nothing_is_fetched_and_no_script_runs(browser: Browser) -> None:
    page = await browser.new_page()
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    poison = "<script>document.title='run'</script><img src=https://evil.example.org/x.png>"
    alert = make_alert_view(poison, labels={"a": poison}, annotations={"summary": poison})
    mail = await open_mail(browser, make_notice(make_incident_view(alert)), PHONE, "light")
    await page.set_content(await mail.content())
    assert asked == []
    assert await page.title() != "run"
