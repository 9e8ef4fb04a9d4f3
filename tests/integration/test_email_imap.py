"""Mails through a real SMTP server with STARTTLS and AUTH, read back over IMAP as a mail program does."""

from __future__ import annotations

import asyncio
import contextlib
import imaplib
import shutil
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path

import pytest

from relay.channels.email import EmailChannel, EmailOptions, MailServer, SmtpConfig
from relay.notification import AlertState, Changes, DeliveryError
from relay.rendering import Renderer
from tests import programs
from tests.factories import make_alert_view, make_incident_view, make_notice, many_alerts
from tests.fakes.certificates import server_context, trusting
from tests.servers import free_port

USER, PASSWORD = "ops@example.org", "correct horse"


@dataclass(frozen=True)
class Mailbox:
    smtp: int
    imap: int
    folder: Path

    def channel(self, password: str = PASSWORD) -> EmailChannel:
        smtp = {"host": "localhost", "port": self.smtp, "from": "Alerts <alerts@example.org>", "tls": "starttls"}
        login = {"username": USER, "password": password}
        return EmailChannel(
            name="ops-mail",
            options=EmailOptions.model_validate({"type": "email", "to": USER, "language": "ru"}),
            server=MailServer(SmtpConfig.model_validate(smtp | login), trust=trusting(self.folder)),
            renderer=Renderer(),
        )

    def read(self) -> list[EmailMessage]:
        """Every mail in the inbox, oldest first."""
        with imaplib.IMAP4("localhost", self.imap, timeout=10) as client:
            client.login(USER, PASSWORD)
            client.select("INBOX")
            _, found = client.search(None, "ALL")
            mails = [client.fetch(number.decode(), "(RFC822)")[1][0] for number in found[0].split()]
        raw = [mail[1] for mail in mails if isinstance(mail, tuple)]
        return [message_from_bytes(one, _class=EmailMessage, policy=policy.default) for one in raw]


def program() -> str:
    """`mail_devel`, beside this Python or on the PATH."""
    beside = Path(sys.executable).with_name("mail_devel")
    found = str(beside) if beside.exists() else shutil.which("mail_devel")
    if found is None:
        raise programs.missing("mail-devel", "mail_devel (pip install mail-devel)")
    return found


@pytest.fixture
async def mailbox(tmp_path: Path) -> AsyncIterator[Mailbox]:
    command = program()
    server_context(tmp_path)
    box = Mailbox(smtp=free_port(), imap=free_port(), folder=tmp_path)
    ports = ["--smtp-port", str(box.smtp), "--imap-port", str(box.imap), "--smtps-port", str(free_port())]
    hosts = ["--host", "127.0.0.1", "--no-http", "--user", USER, "--password", PASSWORD]
    rules = ["--auth-required", "--auth-require-tls", "--starttls-required"]
    files = ["--cert", str(tmp_path / "localhost.pem"), "--key", str(tmp_path / "localhost.key")]
    process = await asyncio.create_subprocess_exec(
        command, *hosts, *ports, *rules, *files, stdout=DEVNULL, stderr=DEVNULL
    )
    try:
        for port in (box.smtp, box.imap):
            await listening(port, process)
        yield box
    finally:
        process.terminate()
        await process.wait()


async def listening(port: int, process: Process) -> None:
    async with asyncio.timeout(20):
        while process.returncode is None:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.05)
    raise AssertionError(f"mail_devel ended with {process.returncode}")


async def test_a_whole_incident_is_read_back_as_one_thread(mailbox: Mailbox) -> None:
    channel = mailbox.channel()
    assert "encrypted, signed in as ops@example.org" in (await channel.check()).said
    storm = make_incident_view(*many_alerts(60), revision=1)
    over = make_incident_view(make_alert_view(state=AlertState.RESOLVED), revision=2)
    await channel.send(channel.render(make_notice(storm)))
    await channel.send(channel.render(make_notice(over, changes=Changes(all_resolved=True))))
    await channel.close()
    first, second = await asyncio.to_thread(mailbox.read)
    assert first["Subject"] == second["Subject"] == "DiskFull [gkzrpt]"
    assert first["Message-ID"] != second["Message-ID"]
    assert first["References"] == second["References"] == second["In-Reply-To"]
    body = second.get_body(("plain",))
    assert body is not None
    assert "1 решён" in body.get_content()
    (table,) = first.iter_attachments()
    assert table.get_filename() == "alerts.csv"
    assert table.get_content().count("\n") == 61


async def test_a_wrong_password_is_refused_by_a_real_server_too(mailbox: Mailbox) -> None:
    channel = mailbox.channel("wrong")
    with pytest.raises(DeliveryError) as caught:
        await channel.send(channel.render(make_notice()))
    assert (caught.value.reason, caught.value.permanent) == ("unauthorized", True)
    assert await asyncio.to_thread(mailbox.read) == []
