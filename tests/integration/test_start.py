"""What `relay serve` says when it starts, and when it cannot."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ENVIRONMENT = {
    "RELAY_WEBHOOK_TOKEN": "a-token-for-webhooks",
    "SLACK_WEBHOOK_URL": "http://127.0.0.1:9/services/secret",
    "RELAY_LISTEN": "127.0.0.1:0",
}


def serve(folder: Path, *options: str, **environment: str) -> str:
    """What it says on stderr; it must end with 1 by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RELAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "relay", "serve", *options],
        cwd=folder,
        env=kept | ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    return done.stderr


def test_it_says_which_config_it_reads_and_why_it_cannot_have_the_port(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = serve(tmp_path, "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert re.search(r"event=starting version=\S+ config=environment channels=1 alertmanagers=0", said)
    assert "cannot start" in said
    assert "address already in use" in said
    (tmp_path / "relay.yml").write_text(
        "server: {auth: {bearer_token: a-token-for-webhooks}}\ndatabase: {url: sqlite:////proc/none/relay.db}\n"
        "smtp: {host: 127.0.0.1, from: relay@example.org}\nchannels: {mail: {type: email, to: [ops@example.org]}}\n"
        "routes: [{channels: [mail]}]\n"
    )
    assert "config=relay.yml" in serve(tmp_path)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://relay:secret@127.0.0.1:1/relay", "PostgreSQL at 127.0.0.1:1"),
        ("sqlite:///broken.db", "broken.db: file is not a database"),
    ],
)
def test_it_says_why_it_cannot_have_the_database(tmp_path: Path, url: str, reason: str) -> None:
    (tmp_path / "broken.db").write_text("this is none")
    said = serve(tmp_path, RELAY_DATABASE_URL=url)
    assert "cannot start" in said
    assert reason in said


def test_it_says_which_channel_it_cannot_open(tmp_path: Path) -> None:
    """What only the service's library can judge is known after it listens."""
    (tmp_path / "relay.yml").write_text(
        "server: {auth: {bearer_token: a-token-for-webhooks}}\n"
        "channels: {pager: {type: apprise, url: 'nosuchservice://secret@host'}}\nroutes: [{channels: [pager]}]\n"
    )
    said = serve(tmp_path)
    assert "cannot start" in said
    assert "channels.pager: url is no address that Apprise understands" in said


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_it_stops_in_order_when_it_is_asked_to_or_its_terminal_is_closed(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "relay", "serve"],
        cwd=tmp_path,
        env={**os.environ, **ENVIRONMENT},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            next(line for line in process.stderr if "event=listening" in line)
            process.send_signal(number)
            rest = process.stderr.read()
        except BaseException:
            process.kill()  # it is waited for, however long it takes
            raise
    assert (process.returncode, "event=stopped" in rest) == (0, True)
