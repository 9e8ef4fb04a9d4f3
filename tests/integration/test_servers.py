"""The real servers that other tests build on do start, answer and stop."""

from __future__ import annotations

import json
import shutil
import subprocess
import threading
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from queue import Queue

import asyncpg
import pytest

from relay.alerts import WebhookMessage
from tests.programs import ROOT, AlertmanagerProgram, missing
from tests.recorded import Recorded, all_payloads
from tests.servers import AlertmanagerStarter, PrometheusStarter, answers

CONFIG = """
route: {{receiver: relay, group_by: [alertname], group_wait: 0s}}
receivers: [{{name: relay, webhook_configs: [{{url: "{url}"}}]}}]
"""


def _post(url: str, body: object) -> int:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=5) as response:
        return int(response.status)


def test_each_alertmanager_posts_a_webhook_message_that_we_can_read(
    alertmanager_program: AlertmanagerProgram, start_alertmanager: AlertmanagerStarter
) -> None:
    bodies: Queue[bytes] = Queue()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.put(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base class names it so
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as receiver:
        thread = threading.Thread(target=receiver.serve_forever)
        thread.start()
        try:
            url = start_alertmanager(CONFIG.format(url=f"http://127.0.0.1:{receiver.server_port}/webhook"))
            assert _post(f"{url}/api/v2/alerts", [{"labels": {"alertname": "DiskFull"}}]) == 200
            message = WebhookMessage.model_validate_json(bodies.get(timeout=20))
        finally:
            receiver.shutdown()
            thread.join()
    assert [alert.labels["alertname"] for alert in message.alerts] == ["DiskFull"]
    assert alertmanager_program.version >= (0, 22, 0)


def test_a_stopped_alertmanager_continues_with_its_data(
    start_alertmanager: AlertmanagerStarter, tmp_path: Path
) -> None:
    config = CONFIG.format(url="http://127.0.0.1:9/")
    first = start_alertmanager(config, data=tmp_path / "kept")
    start_alertmanager.stop(first)
    assert not answers(f"{first}/-/ready")
    again = start_alertmanager(config, data=tmp_path / "kept", port=int(first.rpartition(":")[2]))
    assert again == first
    assert answers(f"{again}/-/ready")


def test_a_config_that_alertmanager_refuses_is_told_with_its_words(start_alertmanager: AlertmanagerStarter) -> None:
    with pytest.raises(RuntimeError, match="no route"):
        start_alertmanager("receivers: [{name: relay}]")


def test_prometheus_evaluates_rules(start_prometheus: PrometheusStarter, promtool_path: Path) -> None:
    rules = "groups: [{name: disk, rules: [{alert: DiskFull, expr: vector(1)}]}]"
    url = start_prometheus("rule_files: [disk.yml]", rules={"disk.yml": rules})
    with urllib.request.urlopen(f"{url}/api/v1/rules", timeout=5) as response:
        assert "DiskFull" in response.read().decode()
    subprocess.run([promtool_path, "query", "instant", url, "vector(1)"], check=True, capture_output=True, timeout=20)


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_database(postgres_url: str, turn: int) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        await connection.execute("CREATE TABLE mine (turn int)")
        await connection.execute("INSERT INTO mine VALUES ($1)", turn)
        assert await connection.fetchval("SELECT count(*) FROM mine") == 1
    finally:
        await connection.close()


def test_chromium_tells_its_version(chromium_path: Path) -> None:
    run = subprocess.run(
        [chromium_path, "--no-sandbox", "--version"], check=True, capture_output=True, text=True, timeout=60
    )
    assert "Chrom" in run.stdout


@pytest.mark.parametrize("recorded", all_payloads(), ids=str)
def test_every_recorded_body_is_a_webhook_message(recorded: Recorded) -> None:
    assert WebhookMessage.model_validate_json(recorded.body).alerts


def test_the_loader_gives_the_bytes_of_one_body(payload: Callable[..., bytes]) -> None:
    assert json.loads(payload("mixed_group.02", "0.25.0"))["status"] == "firing"


def test_a_missing_tool_skips_at_home_and_fails_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RELAY_REQUIRE", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make servers"):
        missing("amtool", "amtool")
    monkeypatch.setenv("RELAY_REQUIRE", "postgres, amtool")
    with pytest.raises(pytest.fail.Exception, match="RELAY_REQUIRE names amtool"):
        missing("amtool", "amtool")


def test_with_names_of_programs_nothing_else_is_brought(tmp_path: Path) -> None:
    """`make stack` names two: what only the tests need, such as 100 MB for the Helm chart, is not a newcomer's business."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    command = ["bash", str(tmp_path / "tools" / "servers"), "a-program-that-nobody-misses"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert list((tmp_path / ".cache" / "servers").iterdir()) == []
