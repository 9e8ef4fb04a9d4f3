"""The client against real Alertmanagers of several versions, and against the stand-in, which must behave like them."""

from __future__ import annotations

import base64
import json
import subprocess
import urllib.error
import urllib.request
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from relay.alertmanager import (
    Alertmanager,
    AlertmanagerRefused,
    AlertmanagerUnreachable,
    Features,
    SilenceNotFound,
    guard,
)
from relay.clock import HOUR, MINUTE, SECOND, system_clock
from relay.clusters import AlertmanagerConfig
from relay.demo.alertmanager import FakeAlertmanager
from relay.matchers import Matcher, parse_matchers
from tests import programs
from tests.programs import AlertmanagerProgram
from tests.servers import AlertmanagerStarter, Server, free_port, wait_until

CONFIG = """
route: {receiver: web.hook, group_by: [alertname], group_wait: 1h}
receivers: [{name: web.hook}]
inhibit_rules:
  - {source_matchers: [severity="critical"], target_matchers: [severity="warning"], equal: [instance]}
"""
ODD = {"alertname": "Odd", "path": 'C:\\new "x"\n{a=b},c', "query": "a+b;c&d=e%20 ё 💥"}


@pytest.fixture
async def stand_in() -> AsyncIterator[FakeAlertmanager]:
    fake = FakeAlertmanager(receiver="web.hook")
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def starter(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], AlertmanagerStarter]]:
    started: list[AlertmanagerStarter] = []

    def of(name: str) -> AlertmanagerStarter:
        started.append(AlertmanagerStarter(tmp_path, program=programs.find_alertmanager(name)))
        return started[-1]

    yield of
    for one in started:
        one.stop_all()


@pytest.fixture(params=[*programs.alertmanager_names(), "stand-in"])
def url(
    request: pytest.FixtureRequest, starter: Callable[[str], AlertmanagerStarter], stand_in: FakeAlertmanager
) -> str:
    return stand_in.url if request.param == "stand-in" else starter(request.param)(CONFIG)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as one:
        yield one


@pytest.fixture
def requests() -> Counter[tuple[str, str]]:
    return Counter()


@pytest.fixture
def connect(session: aiohttp.ClientSession, requests: Counter[tuple[str, str]]) -> Callable[..., Alertmanager]:
    def to(*urls: str, **options: Any) -> Alertmanager:
        config = AlertmanagerConfig.model_validate({"name": "main", "urls": list(urls), **options})
        return Alertmanager(
            config, session, lambda endpoint, outcome: requests.update([(endpoint, outcome)]), system_clock
        )

    return to


async def post_alerts(session: aiohttp.ClientSession, url: str, *alerts: Mapping[str, str], **fields: Any) -> None:
    body = [{"labels": dict(labels), "annotations": {"summary": "S"}, **fields} for labels in alerts]
    async with session.post(f"{url}/api/v2/alerts", json=body) as answer:
        assert answer.status == 200, await answer.text()


def names(alerts: Any) -> list[str]:
    return sorted(alert.labels["alertname"] for alert in alerts)


async def test_the_status_tells_version_start_and_cluster(url: str, connect: Callable[..., Alertmanager]) -> None:
    status = await connect(url).status()

    assert status.version[0].isdigit()
    assert status.uptime_since is not None
    assert abs(system_clock() - status.uptime_since) < MINUTE
    assert (status.cluster_status, status.peers, status.url) == ("disabled", (), url)


async def test_a_listing_has_the_alerts_and_says_since_when_its_peer_runs(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession, requests: Counter[tuple[str, str]]
) -> None:
    before = system_clock()
    await post_alerts(
        session, url, {"alertname": "Down", "severity": "critical"}, generatorURL="http://prom/graph?g0.expr=up"
    )

    listing = await connect(url).alerts()

    (alert,) = listing
    assert alert.labels == {"alertname": "Down", "severity": "critical"}
    assert alert.annotations == {"summary": "S"}
    assert (alert.state, alert.silenced_by, alert.inhibited_by) == ("active", (), ())
    assert (alert.receivers, alert.generator_url) == (("web.hook",), "http://prom/graph?g0.expr=up")
    assert alert.starts_at is not None
    assert alert.ends_at is not None
    assert before - SECOND <= alert.starts_at <= system_clock() < alert.ends_at
    assert listing.peer == url
    assert listing.started_at is not None
    assert listing.started_at <= system_clock()
    assert requests == {("alerts", "ok"): 1, ("status", "ok"): 1}


FILTERED = {
    "": ["Disk", "Down", "Odd"],
    'alertname="Down"': ["Down"],
    'alertname=~"D.*", severity!="warning"': ["Down"],
    'alertname!~"D.*"': ["Odd"],
    'missing=""': ["Disk", "Down", "Odd"],
    'alertname="nobody"': [],
}


async def test_each_filter_narrows_the_list(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    down = {"alertname": "Down", "severity": "critical", "instance": "a"}
    await post_alerts(session, url, down, {"alertname": "Disk", "severity": "warning", "instance": "b"}, ODD)
    client = connect(url)

    found = {matchers: names(await client.alerts_matching(parse_matchers(matchers))) for matchers in FILTERED}

    assert found == FILTERED


async def test_odd_values_find_their_alert_and_no_other(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    await post_alerts(session, url, ODD, {**ODD, "path": 'C:\\new "x"\n{a=b}'}, {"alertname": "Other"})

    found = await connect(url).alerts([Matcher(name, value) for name, value in ODD.items()])

    assert [alert.labels for alert in found] == [ODD]


async def test_label_names_beyond_the_classic_alphabet_filter_in_every_version(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    client = connect(url)
    await post_alerts(session, url, {"alertname": "Plain"})
    if (await client.status()).features.utf8_names:
        await post_alerts(session, url, {"alertname": "Dotted", "k8s.pod/имя": "db 1"})
        assert names(await client.alerts([Matcher("k8s.pod/имя", "db 1")])) == ["Dotted"]

    assert names(await client.alerts([Matcher("k8s.pod/имя", "db 1", is_equal=False)])) == ["Plain"]
    assert names(await client.alerts([Matcher("k8s.pod", "x"), Matcher("alertname", "Plain")])) == []


async def test_a_silence_is_made_read_and_shown_on_its_alerts(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    client = connect(url)
    await post_alerts(session, url, {"alertname": "Down", "instance": "a"}, {"alertname": "Down", "instance": "b"})
    matchers = parse_matchers('alertname=~"Do.+", instance="a", severity!="critical"')
    ends = system_clock() + HOUR

    made = await client.create_silence(matchers, system_clock(), ends, "anna", "disk swap\n“ё”", {"ticket": "7"})

    silence = await client.silence(made)
    assert list(silence.matchers) == matchers
    assert (silence.id, silence.state, silence.created_by, silence.comment) == (
        made,
        "active",
        "anna",
        "disk swap\n“ё”",
    )
    assert silence.ends_at == ends
    annotated = (await client.status()).features.silence_annotations
    assert silence.annotations == ({"ticket": "7"} if annotated else {})
    assert await client.silences() == (silence,)
    states = {alert.labels["instance"]: (alert.state, alert.silenced_by) for alert in await client.alerts()}
    assert states == {"a": ("suppressed", (made,)), "b": ("active", ())}
    assert [alert.labels["instance"] for alert in await client.alerts(silenced=False)] == ["b"]
    assert [alert.labels["instance"] for alert in await client.alerts(active=False)] == ["a"]
    assert len(await client.alerts_matching(matchers)) == 1


async def test_the_alerts_that_a_silence_would_mute_are_those_that_it_mutes(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    client = connect(url)
    await post_alerts(session, url, ODD, {"alertname": "Down", "instance": "a"}, {"alertname": "Up", "instance": "b"})
    matchers = [Matcher("query", r"a\+b;.*", is_regex=True), Matcher("instance", "a", is_equal=False)]
    preview = {alert.fingerprint for alert in await client.alerts_matching(matchers)}

    made = await client.create_silence(matchers, system_clock(), system_clock() + HOUR, "anna", "c")

    muted = {alert.fingerprint for alert in await client.alerts() if made in alert.silenced_by}
    silence = await client.silence(made)
    assert preview == muted == {alert.fingerprint for alert in await client.alerts() if silence.mutes(alert.labels)}
    assert len(muted) == 1


async def test_extending_changes_the_end_and_nothing_else(url: str, connect: Callable[..., Alertmanager]) -> None:
    client = connect(url)
    matchers = parse_matchers('z="1", a=~"x|y", m!="q"')
    made = await client.create_silence(matchers, system_clock(), system_clock() + HOUR, "anna", "why", {"k": "v"})
    before = await client.silence(made)
    ends = system_clock() + 5 * HOUR

    assert await client.extend(made, ends) == made

    after = await client.silence(made)
    assert after.ends_at == ends
    kept = ("id", "matchers", "starts_at", "created_by", "comment", "state", "annotations")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert len(await client.silences(states=("active", "pending", "expired"))) == 1


async def test_a_pending_silence_can_be_prolonged_too(url: str, connect: Callable[..., Alertmanager]) -> None:
    client = connect(url)
    starts = system_clock() + HOUR
    made = await client.create_silence([Matcher("a", "b")], starts, starts + HOUR, "anna", "later")

    assert await client.extend(made, starts + 2 * HOUR) == made

    silence = await client.silence(made)
    assert (silence.state, silence.starts_at, silence.ends_at) == ("pending", starts, starts + 2 * HOUR)


async def test_extending_an_expired_silence_makes_a_new_one_and_tells_its_id(
    url: str, connect: Callable[..., Alertmanager]
) -> None:
    client = connect(url)
    made = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
    await client.expire(made)

    again = await client.extend(made, system_clock() + HOUR)

    assert again != made
    assert (await client.silence(again)).state == "active"
    assert (await client.silence(made)).state == "expired"


async def test_an_end_in_the_past_is_refused_and_leaves_the_silence_alone(
    url: str, connect: Callable[..., Alertmanager]
) -> None:
    client = connect(url)
    made = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")

    with pytest.raises(AlertmanagerRefused, match="must lie in the future"):
        await client.extend(made, system_clock() - MINUTE)

    assert (await client.silence(made)).state == "active"


async def test_an_expired_silence_is_listed_only_when_asked_for(url: str, connect: Callable[..., Alertmanager]) -> None:
    client = connect(url)
    ended = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
    kept = await client.create_silence([Matcher("a", "c")], system_clock(), system_clock() + HOUR, "anna", "c")
    await client.expire(ended)
    await client.expire(ended)  # ending it twice is fine

    assert [silence.id for silence in await client.silences()] == [kept]
    assert [silence.id for silence in await client.silences(states=["expired"])] == [ended]
    assert [silence.id for silence in await client.silences([Matcher("a", "c")])] == [kept]
    assert await client.silences([Matcher("a", "c", is_regex=True)]) == ()


async def test_a_silence_that_is_not_there_is_not_found(url: str, connect: Callable[..., Alertmanager]) -> None:
    client = connect(url)
    for silence_id in (str(uuid.uuid4()), "abc", "a/b", "../status", ""):
        for attempt in (
            client.silence(silence_id),
            client.expire(silence_id),
            client.extend(silence_id, system_clock() + HOUR),
        ):
            with pytest.raises(SilenceNotFound):
                await attempt


REFUSED = [
    ('a=""', 0, HOUR, "at least one matcher must not match the empty string"),
    ('a=~".*"', 0, HOUR, "at least one matcher must not match the empty string"),
    ('a="b"', -HOUR, -MINUTE, "end time can't be in the past"),
    ('a="b"', 2 * HOUR, HOUR, "start time must be before end time"),
    ("", 0, HOUR, "matchers in body should have at least 1 items"),
]


async def test_a_refused_silence_comes_with_alertmanagers_reason(
    url: str, connect: Callable[..., Alertmanager], requests: Counter[tuple[str, str]]
) -> None:
    client, now = connect(url), system_clock()
    for matchers, starts, ends, reason in REFUSED:
        with pytest.raises(AlertmanagerRefused, match=reason) as refused:
            await client.create_silence(parse_matchers(matchers), now + starts, now + ends, "anna", "c")
        assert refused.value.status in {400, 422}

    assert requests == {("silences", "refused"): len(REFUSED)}


BROAD = [
    'alertname!="x"', 'a!=""', 'a=~".+"', 'a!~".+"', 'a="", b!="c"', 'a=~"[a-z]*", b!~"x"', r'a=~"\\w+"'
]  # fmt: skip


async def test_what_the_guard_warns_of_is_taken_by_alertmanager(url: str, connect: Callable[..., Alertmanager]) -> None:
    client = connect(url)
    for text in BROAD:
        matchers = parse_matchers(text)
        assert guard(matchers) is not None
        await client.create_silence(matchers, system_clock(), system_clock() + HOUR, "anna", "c")


async def test_a_bad_filter_is_refused_with_a_reason(url: str, session: aiohttp.ClientSession) -> None:
    async with session.get(f"{url}/api/v2/alerts", params={"filter": '{foo="bar"}'}) as answer:
        assert answer.status == 400
        assert isinstance(await answer.json(), str)


async def test_receivers_are_listed(url: str, connect: Callable[..., Alertmanager]) -> None:
    assert await connect(url).receivers() == ("web.hook",)


async def test_an_inhibited_alert_says_so(
    start_alertmanager: AlertmanagerStarter, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    url = start_alertmanager(CONFIG)
    source = {"alertname": "Dead", "severity": "critical", "instance": "a"}
    await post_alerts(session, url, source, {"alertname": "Slow", "severity": "warning", "instance": "a"})
    client = connect(url)
    source_id = next(alert.fingerprint for alert in await client.alerts() if alert.labels == source)

    async def inhibited() -> tuple[str, ...]:
        return next(alert.inhibited_by for alert in await client.alerts() if alert.labels["alertname"] == "Slow")

    while not await inhibited():
        pass

    assert await inhibited() == (source_id,)
    assert names(await client.alerts(inhibited=False)) == ["Dead"]


async def test_a_resolved_alert_is_no_longer_listed(
    url: str, connect: Callable[..., Alertmanager], session: aiohttp.ClientSession
) -> None:
    client = connect(url)
    await post_alerts(session, url, {"alertname": "Down"})
    assert names(await client.alerts()) == ["Down"]

    over = {"startsAt": "2026-01-01T00:00:00Z", "endsAt": "2026-01-01T04:00:00+03:00"}
    await post_alerts(session, url, {"alertname": "Down"}, **over)

    assert names(await client.alerts()) == []


async def test_a_restart_moves_the_start_of_its_peer(
    alertmanager_program: AlertmanagerProgram, start_alertmanager: AlertmanagerStarter, tmp_path: Path,
    connect: Callable[..., Alertmanager],
) -> None:  # fmt: skip
    url = start_alertmanager(CONFIG, data=tmp_path / "kept")
    client = connect(url)
    made = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
    first = (await client.alerts()).started_at
    start_alertmanager.stop(url)
    with pytest.raises(AlertmanagerUnreachable, match="main cannot be reached"):
        await client.alerts()

    start_alertmanager(CONFIG, data=tmp_path / "kept", port=int(url.rpartition(":")[2]))

    second = (await client.alerts()).started_at
    assert first is not None
    assert second is not None
    assert second > first
    assert [silence.id for silence in await client.silences()] == [made]
    assert (await client.status()).features == Features.of(".".join(map(str, alertmanager_program.version)))


@pytest.fixture
def pair(start_alertmanager: AlertmanagerStarter) -> tuple[str, str]:
    """Two peers with a mesh."""
    mesh = free_port(), free_port()

    def start(own: int, other: int) -> str:
        words = [f"--cluster.listen-address=127.0.0.1:{own}", f"--cluster.peer=127.0.0.1:{other}"]
        words += ["--cluster.settle-timeout=1s", "--cluster.gossip-interval=20ms", "--cluster.pushpull-interval=1s"]
        return start_alertmanager(CONFIG, arguments=words)

    return start(mesh[0], mesh[1]), start(mesh[1], mesh[0])


async def test_a_pair_goes_on_with_one_peer_dead_and_stays_with_the_living(
    pair: tuple[str, str], start_alertmanager: AlertmanagerStarter, connect: Callable[..., Alertmanager],
    session: aiohttp.ClientSession, requests: Counter[tuple[str, str]],
) -> None:  # fmt: skip
    client = connect(*pair)
    made = await client.create_silence(
        [Matcher("alertname", "Down")], system_clock(), system_clock() + HOUR, "anna", "c"
    )
    other = connect(pair[1])
    while made not in [silence.id for silence in await other.silences()]:
        pass
    await post_alerts(session, pair[1], {"alertname": "Down"})
    start_alertmanager.stop(pair[0])
    requests.clear()

    listing = await client.alerts()
    assert (listing.peer, names(listing)) == (pair[1], ["Down"])
    assert requests == {("alerts", "error"): 1, ("alerts", "ok"): 1, ("status", "ok"): 1}
    assert await client.extend(made, system_clock() + 2 * HOUR) == made
    await client.expire(made)
    assert await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
    assert sum(number for (_, outcome), number in requests.items() if outcome == "error") == 1


async def test_a_silence_is_made_once_when_the_first_peer_is_dead(
    start_alertmanager: AlertmanagerStarter, connect: Callable[..., Alertmanager]
) -> None:
    url = start_alertmanager(CONFIG)
    client = connect(f"http://127.0.0.1:{free_port()}", url)

    made = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")

    assert [silence.id for silence in await client.silences()] == [made]


def started_elsewhere(program: AlertmanagerProgram, folder: Path, ready: str, status: int, *words: str) -> Server:
    """An Alertmanager whose `/-/ready` is not where the starter looks, or answers something else."""
    port = free_port()
    (folder / "am.yml").write_text(CONFIG)
    log = folder / "am.log"
    address = [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [program.path, "--config.file=am.yml", f"--storage.path={folder / 'data'}", *address, *words],
            cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    server = Server(f"http://127.0.0.1:{port}", process, log)

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{server.url}{ready}", timeout=2) as answer:
                return bool(answer.status == status)
        except urllib.error.HTTPError as error:
            with error:
                return error.code == status
        except OSError:
            return False

    wait_until(answers, "Alertmanager", process)
    return server


async def test_a_path_prefix_belongs_to_the_address(
    alertmanager_program: AlertmanagerProgram, tmp_path: Path, connect: Callable[..., Alertmanager]
) -> None:
    server = started_elsewhere(
        alertmanager_program,
        tmp_path,
        "/tools/am/-/ready",
        200,
        "--web.route-prefix=/tools/am",
        "--web.external-url=http://x/am",
    )
    try:
        client = connect(f"{server.url}/tools/am/")
        made = await client.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
        assert await client.extend(made, system_clock() + 2 * HOUR) == made
        assert len(await client.alerts()) == 0
        with pytest.raises(AlertmanagerUnreachable, match="no Alertmanager at this address or path"):
            await connect(f"{server.url}/wrong").alerts()
        with pytest.raises(AlertmanagerUnreachable, match="no Alertmanager at this address or path"):
            await connect(f"{server.url}/wrong").silence(made)
        with pytest.raises(AlertmanagerUnreachable, match="no Alertmanager at this address or path"):
            await connect(f"{server.url}/wrong").create_silence(
                [Matcher("a", "b")], 0, system_clock() + HOUR, "anna", "c"
            )
        assert (
            await connect(f"{server.url}/wrong", f"{server.url}/tools/am").alerts()
        ).peer == f"{server.url}/tools/am"
    finally:
        server.stop()


async def test_a_user_name_and_password_are_sent_and_a_wrong_one_is_never_told(
    alertmanager_program: AlertmanagerProgram, tmp_path: Path, connect: Callable[..., Alertmanager]
) -> None:
    password = "pa:ss wörd"
    hashed = "$2b$04$abcdefghijklmnopqrstuuC5VMwYwbzdFgvTXUffgXF6mHCmfegLa"
    (tmp_path / "web.yml").write_text(json.dumps({"basic_auth_users": {"anna": hashed}}))
    server = started_elsewhere(alertmanager_program, tmp_path, "/-/ready", 401, "--web.config.file=web.yml")
    try:
        right = connect(server.url, auth={"basic": {"username": "anna", "password": password}})
        made = await right.create_silence([Matcher("a", "b")], system_clock(), system_clock() + HOUR, "anna", "c")
        assert [silence.id for silence in await right.silences()] == [made]
        wrong = "no-such-Password"
        for auth in ({"basic": {"username": "anna", "password": wrong}}, {"bearer_token": wrong}):
            with pytest.raises(AlertmanagerRefused, match="check `auth` of alertmanager main") as refused:
                await connect(server.url, auth=auth).alerts()
            assert refused.value.status == 401
            secrets = (wrong, base64.b64encode(f"anna:{wrong}".encode()).decode())
            assert not any(secret in f"{refused.value!r} {refused.value}" for secret in secrets)
    finally:
        server.stop()
