"""What the relay may have to report about itself, in words, and the webhook message that reports it.

Names, severities and labels are those of `prometheus/rules/relay.yml`, so that routes and runbooks fit both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from gettext import NullTranslations
from typing import NamedTuple
from zoneinfo import ZoneInfo

from relay.alerts import WebhookMessage
from relay.clock import MINUTE, Millis, to_datetime
from relay.ingest.own import CHANNEL, RECEIVER, WATCHDOG_MISSING
from relay.rendering.reasons import tell_failure
from relay.severity import Severity
from relay.store.watching import ChannelState, Firing

FAILING = "RelayDestinationFailing"
QUEUE_OLD = "RelayQueueOld"
DEAD_LETTERS = "RelayDeadLetters"
UNREACHABLE = "RelayAlertmanagerUnreachable"
STORE_SLOW = "RelayStoreSlow"
ALERTMANAGER = "alertmanager"
_REASON = "reason"


class Subject(NamedTuple):
    """Which alert about what: a channel's or an Alertmanager's name, "" for the relay as a whole."""

    alert: str
    name: str = ""


_SUBJECT_LABEL = {
    FAILING: CHANNEL,
    QUEUE_OLD: CHANNEL,
    DEAD_LETTERS: CHANNEL,
    UNREACHABLE: ALERTMANAGER,
    WATCHDOG_MISSING: ALERTMANAGER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Concern:
    """Something that people must know. `reason` is the kind of it: another one is shown, the same is not told again."""

    severity: Severity
    since: Millis
    texts: Mapping[str, str]
    reason: str = ""


def subject_of(firing: Firing) -> Subject:
    alert = firing.labels.get("alertname", "")
    return Subject(alert, firing.labels.get(_SUBJECT_LABEL.get(alert, ""), ""))


def reason_of(firing: Firing) -> str:
    return firing.annotations.get(_REASON, "")


def failing(
    channel: str, state: ChannelState, zone: ZoneInfo, stand_in: str | None, russian: NullTranslations
) -> Concern:
    """One sentence: `oncall-chat refuses since 03:12 UTC: bot was kicked`."""
    since = state.paused_since or 0
    at, why = f"{to_datetime(since).astimezone(zone):%H:%M %Z}", state.detail or state.reason
    why_ru = tell_failure(state.reason, state.detail, russian)
    if state.permanent:
        summary, summary_ru = f"{channel} refuses since {at}: {why}", f"{channel} не принимает с {at}: {why_ru}"
        test = f"`relay send-test --channel {channel}`"
        description = (
            f"What waits for it is tried every 5 minutes. If nothing waits, {test} shows whether it works again."
        )
        description_ru = f"Раз в 5 минут пробуем одно из ждущих сообщений. Если ничего не ждёт, проверьте сами: {test}."
    else:
        summary = f"{channel} cannot be reached since {at}: {why}"
        summary_ru = f"{channel} недоступен с {at}: {why_ru}"
        description = "What is to be shown there waits and is tried again."
        description_ru = "Сообщения ждут, попытки повторяются."
    if stand_in:
        description += f" Critical alerts are shown at {stand_in} meanwhile."
        description_ru += f" Критичные алерты пока показываются в {stand_in}."
    texts = _texts(summary, description, summary_ru, description_ru)
    reason = f"{'permanent' if state.permanent else 'temporary'} {state.reason}"
    return Concern(severity=Severity.CRITICAL, since=since, texts=texts, reason=reason)


def queue_old(channel: str, now: Millis) -> Concern:
    texts = _texts(
        f"{channel} lags behind",
        "The oldest post has been waiting for more than 5 minutes.",
        f"{channel} отстаёт",
        "Самое старое сообщение ждёт больше 5 минут.",
    )
    return Concern(severity=Severity.WARNING, since=now, texts=texts)


def dead_letters(channel: str, now: Millis) -> Concern:
    texts = _texts(
        f"Posts of {channel} were given up",
        f"`relay deliveries list --state dead` lists them with their reasons. {channel} does not show these alerts.",
        f"Сообщения для {channel} не доставлены",
        f"Список с причинами: `relay deliveries list --state dead`. В {channel} этих алертов нет.",
    )
    return Concern(severity=Severity.WARNING, since=now, texts=texts)


def unreachable(alertmanager: str, now: Millis) -> Concern:
    texts = _texts(
        f"The relay cannot reach Alertmanager {alertmanager}",
        "Its API has not answered for 5 minutes: silences and missed resolves wait.",
        f"Relay не видит Alertmanager {alertmanager}",
        "API не отвечает 5 минут: silence не ставятся, пропущенные resolve не замечаются.",
    )
    return Concern(severity=Severity.WARNING, since=now, texts=texts)


def watchdog_missing(alertmanager: str, timeout: Millis, last_seen: Millis | None, now: Millis) -> Concern:
    length = f"{timeout // MINUTE} min" if timeout >= MINUTE else f"{timeout // 1000} s"
    length_ru = f"{timeout // MINUTE} мин" if timeout >= MINUTE else f"{timeout // 1000} с"
    texts = _texts(
        f"No watchdog from Alertmanager {alertmanager}",
        f"It has not come for {length}: alerts may not find their way from Prometheus to the relay.",
        f"Нет контрольного алерта от Alertmanager {alertmanager}",
        f"Он не приходил {length_ru}: алерты могут не доходить от Prometheus до relay.",
    )
    return Concern(severity=Severity.CRITICAL, since=last_seen or now, texts=texts)


def store_slow(now: Millis) -> Concern:
    texts = _texts(
        "The relay's database is slow",
        "Several commits in a row took longer than 2 seconds; webhooks and messages are late.",
        "База данных relay отвечает медленно",
        "Несколько фиксаций подряд заняли больше 2 секунд; webhook и сообщения запаздывают.",
    )
    return Concern(severity=Severity.WARNING, since=now, texts=texts)


def _texts(summary: str, description: str, summary_ru: str, description_ru: str) -> Mapping[str, str]:
    return {
        "summary": summary,
        "description": description,
        "summary_ru": summary_ru,
        "description_ru": description_ru,
    }


def firing_message(subject: Subject, concern: Concern, severity_label: str, url: str) -> WebhookMessage:
    labels = {"alertname": subject.alert, severity_label: concern.severity.label, "service": RECEIVER}
    if subject.name:
        labels[_SUBJECT_LABEL[subject.alert]] = subject.name
    annotations = {**concern.texts, _REASON: concern.reason} if concern.reason else concern.texts
    return _message(subject, labels, annotations, url, concern.since, None)


def resolved_message(firing: Firing, now: Millis, url: str) -> WebhookMessage:
    return _message(subject_of(firing), firing.labels, firing.annotations, url, firing.starts_at, now)


def _message(
    subject: Subject,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    url: str,
    starts_at: Millis,
    ends_at: Millis | None,
) -> WebhookMessage:
    status = "firing" if ends_at is None else "resolved"
    alert = {
        "status": status,
        "labels": labels,
        "annotations": annotations,
        "generatorURL": url,
        "startsAt": to_datetime(starts_at).isoformat(),
        "endsAt": to_datetime(ends_at).isoformat() if ends_at is not None else "0001-01-01T00:00:00Z",
    }
    return WebhookMessage.model_validate(
        {
            "version": "4",
            "receiver": RECEIVER,
            "status": status,
            "groupKey": f"{subject.alert}:{subject.name}",
            "groupLabels": labels,
            "alerts": [alert],
        }
    )
