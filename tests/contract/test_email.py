"""The email channel against a mail server on loopback that answers by script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from relay.channels.email import EmailChannel, EmailOptions, MailServer, SmtpConfig
from relay.demo.mail import FakeMail, Stage, threads
from relay.notification import Changes, DeliveryError, Notice, Sent
from relay.rendering import Renderer
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts
from tests.fakes.certificates import server_context, trusting

PASSWORD = "correct horse battery"


@pytest.fixture
async def fake() -> AsyncIterator[FakeMail]:
    server = FakeMail()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
async def opened() -> AsyncIterator[list[EmailChannel]]:
    """Channels that are closed in the end."""
    channels: list[EmailChannel] = []
    yield channels
    for channel in channels:
        await channel.close()


def smtp(fake: FakeMail, **values: Any) -> SmtpConfig:
    base = {"host": "127.0.0.1", "port": fake.port, "from": "Alerts <alerts@example.org>", "tls": "none"}
    return SmtpConfig.model_validate(base | values)


def make_channel(fake: FakeMail, server: MailServer | None = None, **options: Any) -> EmailChannel:
    base = {"type": "email", "to": ["ops@example.org"]}
    return EmailChannel(
        name="ops-mail",
        options=EmailOptions.model_validate(base | options),
        server=server or MailServer(smtp(fake), connect_seconds=2, answer_seconds=0.5),
        renderer=Renderer(),
    )


@pytest.fixture
def channel(fake: FakeMail, opened: list[EmailChannel]) -> EmailChannel:
    made = make_channel(fake)
    opened.append(made)
    return made


async def send(channel: EmailChannel, notice: Notice | None = None) -> Sent:
    return await channel.send(channel.render(notice or make_notice()))


async def fail(channel: EmailChannel, notice: Notice | None = None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        await send(channel, notice)
    assert PASSWORD not in f"{caught.value} {caught.value.detail} {caught.value!r}"
    return caught.value


async def test_a_mail_arrives_with_text_and_html(fake: FakeMail, channel: EmailChannel) -> None:
    sent = await send(channel)
    (mail,) = fake.mailbox
    assert mail.message.get_content_type() == "multipart/alternative"
    assert "DiskFull" in mail.text
    assert "<h1" in mail.html
    assert "DiskFull" in mail.html
    assert mail.sender == "alerts@example.org"
    assert mail.recipients == ("ops@example.org",)
    assert sent.remote["message_id"] == mail.message["Message-ID"]
    assert not sent.refused
    assert not sent.retry_recipients


async def test_the_headers_keep_machines_from_answering(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel)
    message = fake.mailbox[0].message
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Date"] == "Fri, 21 Nov 2025 03:15:00 +0000"


async def test_all_mails_of_an_incident_are_one_thread_with_one_subject(fake: FakeMail, channel: EmailChannel) -> None:
    for revision, view in enumerate((make_incident_view(), make_incident_view(*many_alerts(3))), start=1):
        await send(channel, make_notice(make_incident_view(*view.alerts, revision=revision)))
    assert len(threads(fake.mailbox)) == 1
    assert len({mail.subject for mail in fake.mailbox}) == 1
    assert len({mail.message["Message-ID"] for mail in fake.mailbox}) == 2


async def test_trying_again_has_the_same_message_id(fake: FakeMail, channel: EmailChannel) -> None:
    fake.script.reply("END", "451 4.3.0 try again")
    notice = make_notice()
    await fail(channel, notice)
    await send(channel, notice)
    assert channel.render(notice).message_id == fake.mailbox[0].message["Message-ID"]


async def test_two_incidents_are_two_threads(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel, make_notice(post_id=1))
    await send(channel, make_notice(post_id=2))
    assert len(threads(fake.mailbox)) == 2


async def test_a_fresh_database_does_not_repeat_old_message_ids(channel: EmailChannel) -> None:
    """Mail programs drop a mail whose Message-ID they have seen, and posts are numbered from 1 in each database."""
    before = make_notice(make_incident_view(opened_at=1))
    after = make_notice(make_incident_view(opened_at=2))
    assert channel.render(before).message_id != channel.render(after).message_id


REFUSALS: list[tuple[Stage, str, str, str, bool]] = [
    ("CONNECT", "421 4.3.2 shutting down", "server_error", "destination", False),
    ("CONNECT", "450 4.7.1 too many connections", "rate_limited", "destination", False),
    ("CONNECT", "554 5.7.1 you are on our list", "forbidden", "destination", True),
    ("EHLO", "421 4.3.2 later", "server_error", "destination", False),
    ("MAIL", "421 4.4.5 busy", "server_error", "destination", False),
    ("MAIL", "421 4.7.0 rate limit", "rate_limited", "destination", False),
    ("MAIL", "450 4.1.8 cannot look up sender", "server_error", "destination", False),
    ("MAIL", "451 4.3.0 local error", "server_error", "destination", False),
    ("MAIL", "452 4.3.1 disk full", "server_error", "destination", False),
    ("MAIL", "530 5.7.0 sign in first", "unauthorized", "destination", True),
    ("MAIL", "550 5.1.8 bad sender", "forbidden", "destination", True),
    ("MAIL", "552 5.3.4 too big", "too_large", "post", True),
    ("MAIL", "553 5.7.1 not your address", "forbidden", "destination", True),
    ("RCPT", "421 4.7.0 closing", "rate_limited", "destination", False),
    ("RCPT", "450 4.2.0 greylisted", "server_error", "post", False),
    ("RCPT", "451 4.7.1 slow down", "rate_limited", "post", False),
    ("RCPT", "452 4.2.2 mailbox full", "server_error", "post", False),
    ("RCPT", "452 4.5.3 too many recipients", "rate_limited", "post", False),
    ("RCPT", "530 5.7.0 sign in first", "unauthorized", "destination", True),
    ("RCPT", "550 5.1.1 no such user", "not_found", "post", True),
    ("RCPT", "551 5.1.6 moved away", "not_found", "post", True),
    ("RCPT", "552 too many recipients", "rate_limited", "post", False),
    ("RCPT", "553 5.1.3 bad address", "not_found", "post", True),
    ("RCPT", "554 5.7.1 relay denied", "not_found", "post", True),
    ("DATA", "421 4.3.2 closing", "server_error", "destination", False),
    ("DATA", "451 4.3.5 misconfigured", "server_error", "destination", False),
    ("DATA", "554 5.5.1 no valid recipients", "rejected", "post", True),
    ("END", "421 4.4.2 closing", "server_error", "destination", False),
    ("END", "450 4.2.0 filter says later", "server_error", "post", False),
    ("END", "451 4.3.0 queue trouble", "server_error", "destination", False),
    ("END", "451 4.7.1 greylisted", "rate_limited", "destination", False),
    ("END", "452 insufficient storage", "server_error", "destination", False),
    ("END", "550 5.7.1 looks like spam", "rejected", "post", True),
    ("END", "552 5.3.4 too big", "too_large", "post", True),
    ("END", "554 5.6.0 bad content", "rejected", "post", True),
    ("END", "299 hm", "server_error", "destination", False),
]


@pytest.mark.parametrize(("stage", "reply", "reason", "scope", "permanent"), REFUSALS)
async def test_each_refusal_says_whose_it_is_and_the_next_mail_passes(
    fake: FakeMail, channel: EmailChannel, stage: Stage, reply: str, reason: str, scope: str, permanent: bool
) -> None:
    fake.script.reply(stage, reply)
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == (reason, scope, permanent)
    assert reply in error.detail
    await send(channel)
    assert len(fake.mailbox) == 1


@pytest.mark.parametrize("code", sorted({*range(400, 600, 7), 421, 452, 530, 535, 550, 552}))
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "DATA", "END"])
async def test_every_4yz_is_tried_again_and_every_5yz_is_not(
    fake: FakeMail, channel: EmailChannel, stage: Stage, code: int
) -> None:
    fake.script.reply(stage, f"{code} no")
    error = await fail(channel)
    temporary = code < 500 or (stage, code) == ("RCPT", 552)  # RFC 5321 4.5.3.1.10
    assert error.permanent is not temporary


async def test_some_refused_recipients_do_not_cost_the_others_their_mail(fake: FakeMail) -> None:
    channel = make_channel(fake, to=["a@example.org", "b@example.org", "c@example.org"])
    fake.script.reply("RCPT", "550 5.1.1 no such user", address="b@example.org")
    fake.script.reply("RCPT", "450 4.2.0 greylisted", address="c@example.org")
    sent = await send(channel)
    assert fake.mailbox[0].recipients == ("a@example.org",)
    assert sent.refused == {"b@example.org": "550 5.1.1 no such user"}
    assert sent.retry_recipients == ("c@example.org",)
    await channel.close()


async def test_a_retry_goes_only_to_those_who_were_refused_for_now(fake: FakeMail) -> None:
    channel = make_channel(fake, to=["a@example.org", "C <c@example.org>"])
    sent = await send(channel, make_notice(remote={"retry_recipients": ["c@example.org"]}))
    assert fake.mailbox[0].recipients == ("c@example.org",)
    assert not sent.retry_recipients
    await channel.close()


async def test_recipients_who_left_the_config_do_not_stop_a_retry(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel, make_notice(remote={"retry_recipients": ["gone@example.org"]}))
    assert fake.mailbox[0].recipients == ("ops@example.org",)


async def test_when_all_are_refused_one_of_them_for_now_the_post_stays(fake: FakeMail) -> None:
    channel = make_channel(fake, to=["a@example.org", "b@example.org"])
    fake.script.reply("RCPT", "550 5.1.1 no such user", address="a@example.org")
    fake.script.reply("RCPT", "450 4.2.0 greylisted", address="b@example.org")
    error = await fail(channel)
    assert (error.scope, error.permanent) == ("post", False)
    assert "a@example.org (550" in error.detail
    assert "b@example.org (450" in error.detail
    await channel.close()


async def test_the_domain_of_a_recipient_is_written_as_dns_has_it(fake: FakeMail) -> None:
    channel = make_channel(fake, to=["ops@пример.рф"])
    await send(channel)
    assert fake.mailbox[0].recipients == ("ops@xn--e1afmkfd.xn--p1ai",)
    await channel.close()


async def test_a_connection_serves_many_mails(fake: FakeMail, channel: EmailChannel) -> None:
    for _ in range(3):
        await send(channel)
    assert fake.connections == 1
    assert len(fake.mailbox) == 3


async def test_channels_of_one_account_take_turns_on_one_connection(fake: FakeMail) -> None:
    server = MailServer(smtp(fake))
    channels = [make_channel(fake, server, to=[f"team-{number}@example.org"]) for number in range(5)]
    await asyncio.gather(*(send(one) for one in channels))
    assert fake.connections == 1
    assert len(fake.mailbox) == 5
    assert len({one.account for one in channels}) == 1
    assert len({one.destination for one in channels}) == 5
    await server.close()


async def test_a_connection_that_was_dropped_while_idle_is_made_anew(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel)
    fake.drop_connections()
    await send(channel)
    assert fake.connections == 2
    assert len(fake.mailbox) == 2


async def test_a_server_that_says_goodbye_to_noop_is_called_again(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel)
    fake.script.reply("NOOP", "421 4.4.2 idle for too long")
    await send(channel)
    assert len(fake.mailbox) == 2


async def test_no_server_is_a_connection_error_of_the_destination(fake: FakeMail, channel: EmailChannel) -> None:
    await fake.stop()
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)
    await fake.start()
    await send(channel)


async def test_an_unknown_host_is_a_connection_error(fake: FakeMail) -> None:
    channel = make_channel(fake, MailServer(smtp(fake, host="nowhere.invalid"), connect_seconds=5))
    error = await fail(channel)
    assert (error.reason, error.scope) == ("connection", "destination")


@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT"])
@pytest.mark.parametrize("how", ["hang", "drop"])
async def test_no_answer_before_the_content_is_a_connection_error(
    fake: FakeMail, opened: list[EmailChannel], stage: Stage, how: str
) -> None:
    channel = make_channel(fake, MailServer(smtp(fake), connect_seconds=0.3, answer_seconds=0.3))
    opened.append(channel)
    getattr(fake.script, how)(stage)
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)
    await send(channel)


@pytest.mark.parametrize("how", ["hang", "drop"])
async def test_no_answer_after_the_content_is_an_unknown_outcome(
    fake: FakeMail, opened: list[EmailChannel], how: str
) -> None:
    channel = make_channel(fake, MailServer(smtp(fake), connect_seconds=2, answer_seconds=0.3))
    opened.append(channel)
    getattr(fake.script, how)("END")
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("timeout", "destination", False)
    await send(channel)


@pytest.mark.parametrize(
    "raw", [b"what?\r\n", b"\xff\xfe\x00\r\n", b"250-half\r\n", b"99999 x\r\n", b"x" * 40_000 + b"\r\n"]
)
@pytest.mark.parametrize("stage", ["CONNECT", "EHLO", "MAIL", "RCPT", "END"])
async def test_garbage_and_half_answers_are_failures_of_the_server(
    fake: FakeMail, channel: EmailChannel, stage: Stage, raw: bytes
) -> None:
    fake.script.drop(stage, raw=raw)
    error = await fail(channel)
    assert error.scope == "destination"
    assert error.reason in {"server_error", "connection", "timeout"}
    assert not error.permanent
    await send(channel)


async def test_a_reply_of_many_lines_is_told_in_one(fake: FakeMail, channel: EmailChannel) -> None:
    fake.script.garbage("MAIL", b"550-first \x1b[31m line\r\n550 second" + b" word" * 200 + b"\r\n")
    error = await fail(channel)
    assert error.detail.isprintable()
    assert len(error.detail) < 300


async def test_cancelling_gives_up_the_connection_and_the_next_mail_has_a_new_one(
    fake: FakeMail, channel: EmailChannel
) -> None:
    fake.script.hang("END")
    task = asyncio.create_task(send(channel))
    await fake.scripted.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await send(channel)
    assert fake.connections == 2
    assert len(fake.mailbox) == 1


async def test_cancelling_while_waiting_for_the_turn_leaves_the_other_mail_alone(
    fake: FakeMail, channel: EmailChannel
) -> None:
    first, second = asyncio.create_task(send(channel)), asyncio.create_task(send(channel))
    await asyncio.sleep(0)
    second.cancel()
    await first
    assert len(fake.mailbox) == 1


async def test_closing_says_goodbye_and_may_be_repeated(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel)
    await channel.close()
    await channel.close()
    assert fake.journal[-1] == "QUIT"


async def test_closing_does_not_wait_for_a_server_that_hangs(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel)
    fake.script.hang("QUIT")
    async with asyncio.timeout(5):
        await channel.close()


async def test_a_mail_over_the_servers_limit_is_too_large(opened: list[EmailChannel]) -> None:
    small = FakeMail(max_size=2_000)
    await small.start()
    channel = make_channel(small)
    opened.append(channel)
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("too_large", "post", True)
    await small.stop()


# encryption and signing in


async def with_tls(
    folder: Path, *, tls: str, trusted: bool = True, name: str = "localhost", users: Mapping[str, str] | None = None
) -> tuple[FakeMail, EmailChannel]:
    fake = FakeMail(tls=server_context(folder, name=name), implicit=tls == "implicit", users=users)
    await fake.start()
    login = {"username": "relay", "password": PASSWORD} if users else {}
    trust = trusting(folder, name=name) if trusted else None
    return fake, make_channel(fake, MailServer(smtp(fake, host="localhost", tls=tls, **login), trust=trust))


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_trusted_server_gets_mail_encrypted_and_signed_in(tmp_path: Path, tls: str) -> None:
    fake, channel = await with_tls(tmp_path, tls=tls, users={"relay": PASSWORD})
    await send(channel)
    await send(channel)
    assert fake.mailbox[0].encrypted
    assert fake.mailbox[0].user == "relay"
    assert fake.connections == 1
    assert "encrypted, signed in as relay" in (await channel.check()).said
    await channel.close()
    await fake.stop()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_certificate_nobody_vouches_for_is_told_and_gets_no_mail(tmp_path: Path, tls: str) -> None:
    fake, channel = await with_tls(tmp_path, tls=tls, trusted=False)
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)
    assert "certificate" in error.detail
    assert not fake.mailbox
    await fake.stop()


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
async def test_a_certificate_for_another_name_is_told(tmp_path: Path, tls: str) -> None:
    fake, channel = await with_tls(tmp_path, tls=tls, name="other.example.org")
    error = await fail(channel)
    assert "certificate" in error.detail
    assert not fake.mailbox
    await fake.stop()


async def test_opportunistic_encrypts_without_asking_who_it_is(tmp_path: Path) -> None:
    fake, channel = await with_tls(tmp_path, tls="opportunistic", trusted=False)
    await send(channel)
    assert fake.mailbox[0].encrypted
    await channel.close()
    await fake.stop()


async def test_opportunistic_goes_on_in_clear_where_nothing_else_is_offered(fake: FakeMail) -> None:
    channel = make_channel(fake, MailServer(smtp(fake, tls="opportunistic")))
    await send(channel)
    assert not fake.mailbox[0].encrypted
    await channel.close()


async def test_required_starttls_never_falls_back_to_clear(fake: FakeMail) -> None:
    channel = make_channel(fake, MailServer(smtp(fake, tls="starttls", username="relay", password=PASSWORD)))
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)
    assert not [line for line in fake.journal if line.startswith(("AUTH", "MAIL"))]


async def test_tls_towards_a_plain_port_is_told(fake: FakeMail) -> None:
    channel = make_channel(fake, MailServer(smtp(fake, tls="implicit"), connect_seconds=1, answer_seconds=1))
    error = await fail(channel)
    assert (error.reason, error.scope) == ("connection", "destination")


async def test_a_refused_starttls_is_a_connection_error(tmp_path: Path) -> None:
    fake, channel = await with_tls(tmp_path, tls="starttls")
    fake.script.reply("STARTTLS", "454 4.7.0 TLS not available")
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("connection", "destination", False)
    await send(channel)
    await channel.close()
    await fake.stop()


@pytest.mark.parametrize(
    ("reply", "reason", "permanent"),
    [
        ("535 5.7.8 wrong", "unauthorized", True),
        ("534 5.7.9 use an app password", "unauthorized", True),
        ("454 4.7.0 temporary authentication failure", "rate_limited", False),
        ("421 4.3.2 closing", "connection", False),
    ],
)
async def test_a_refused_sign_in_pauses_the_destination(reply: str, reason: str, permanent: bool) -> None:
    fake = FakeMail(users={"relay": PASSWORD})
    await fake.start()
    channel = make_channel(fake, MailServer(smtp(fake, username="relay", password=PASSWORD)))
    fake.script.answers.clear()
    fake.script.reply("AUTH", f"{reply} {PASSWORD}", times=None)
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == (reason, "destination", permanent)
    fake.script.answers.clear()
    await send(channel)
    await channel.close()
    await fake.stop()


async def test_a_wrong_password_is_unauthorized_and_never_told(fake: FakeMail) -> None:
    locked = FakeMail(users={"relay": "another"})
    await locked.start()
    channel = make_channel(locked, MailServer(smtp(locked, username="relay", password=PASSWORD)))
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("unauthorized", "destination", True)
    with pytest.raises(DeliveryError) as caught:
        await channel.check()
    assert caught.value.reason == "unauthorized"
    assert PASSWORD not in repr(channel._server.config)
    await locked.stop()


async def test_a_server_without_sign_in_is_unauthorized(fake: FakeMail) -> None:
    channel = make_channel(fake, MailServer(smtp(fake, username="relay", password=PASSWORD)))
    error = await fail(channel)
    assert (error.reason, error.scope, error.permanent) == ("unauthorized", "destination", True)


async def test_check_tells_that_nothing_is_encrypted(channel: EmailChannel, fake: FakeMail) -> None:
    assert "NOT encrypted, without signing in" in (found := await channel.check()).said
    assert "connection" in found.rules_out
    assert "unauthorized" not in found.rules_out  # that the server wants a name it says to a mail
    await fake.stop()
    with pytest.raises(DeliveryError):
        await channel.check()
    await fake.start()


async def test_check_finds_out_whether_the_server_takes_mail_from_us_and_sends_none(
    channel: EmailChannel, fake: FakeMail
) -> None:
    fake.script.reply("MAIL", "553 5.7.1 sender not owned by user")
    with pytest.raises(DeliveryError, match="takes no mail from this sender") as caught:
        await channel.check()
    assert (caught.value.reason, caught.value.permanent) == ("forbidden", True)
    assert "forbidden" in (await channel.check()).rules_out
    await send(channel, make_notice())
    assert len(fake.mailbox) == 1


# what labels can do


POISON = "x\r\nBcc: victim@example.org\r\n\r\n<b>\0\x1b[31m\u2028.\r\n.\r\nQUIT\r\n🔥👩‍💻\x85\u202e"


async def test_a_poisoned_label_makes_no_header_and_no_command(fake: FakeMail, opened: list[EmailChannel]) -> None:
    channel = make_channel(fake, subject="{{ group_labels.alertname }}", title="{{ group_labels.alertname }}")
    opened.append(channel)
    alert = make_alert_view(POISON, labels={POISON: POISON}, annotations={"summary": POISON, "runbook_url": POISON})
    view = make_incident_view(alert, alertmanager=POISON, receiver=POISON, several_alertmanagers=True)
    await send(channel, make_notice(view))
    (mail,) = fake.mailbox
    assert mail.recipients == ("ops@example.org",)
    assert mail.message["Bcc"] is None
    assert "QUIT" not in fake.journal
    assert "🔥" in mail.subject
    assert mail.subject.isprintable() or "\u200d" in mail.subject
    assert "&lt;b&gt;" in mail.html
    assert not [header for header in mail.message.values() if "\r" in header or "\n" in header]
    await send(channel)
    assert fake.connections == 1


async def test_a_message_is_ascii_with_short_lines(channel: EmailChannel) -> None:
    view = make_incident_view(make_alert_view("Ж" * 500, annotations={"summary": "é" * 5000}))
    message = channel.render(make_notice(view)).message
    assert message.isascii()
    assert max(len(line) for line in message.split(b"\r\n")) <= 998


async def test_a_storm_of_5000_alerts_is_one_mail_under_a_megabyte(fake: FakeMail, channel: EmailChannel) -> None:
    await send(channel, make_notice(make_incident_view(*many_alerts(5000))))
    (mail,) = fake.mailbox
    assert len(mail.raw) < 1_000_000
    assert len(mail.html.encode()) < 102_000  # Gmail cuts longer ones
    (name, content), *_ = mail.attachments.items()
    assert name == "alerts.csv"
    table = content.decode("utf-8-sig")
    assert len(table.splitlines()) == 5001
    assert all(f"db-{number}:9100" in table for number in range(5000))


async def test_changes_are_told_before_the_state(fake: FakeMail, channel: EmailChannel) -> None:
    alerts = many_alerts(2)
    view = make_incident_view(*alerts)
    await send(channel, make_notice(view, changes=Changes(fired=alerts[:1])))
    text = fake.mailbox[0].text
    assert text.index("New: db-0:9100") < text.index("Disk /var on db-0 is full")
