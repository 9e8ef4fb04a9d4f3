"""The relay now: what comes in, how fast it is shown, what waits, and what goes wrong."""

from __future__ import annotations

from grafana.source.board import Board, Row, label_choice, prometheus_variable
from grafana.source.panels import (
    UP_OR_DOWN,
    falling,
    firing,
    gauge,
    graph,
    heat,
    number,
    rising,
    word,
)
from grafana.source.queries import Promql, increase_by, quantile_by, quantiles, rate_by, share

RELAY = 'job="relay"'
CHANNEL = f'{RELAY}, channel=~"$channel"'


def board() -> Board:
    return Board(
        uid="relay-realtime",
        folder="relay",
        title="Relay: real time",
        description="Что приходит в relay, как быстро это видят люди, что ждёт в очереди и что не работает.",
        tags=["relay"],
        variables=[
            prometheus_variable(),
            label_choice("channel", "Channel", f"label_values(relay_notifications_pending{{{RELAY}}}, channel)"),
        ],
        rows=[_reachable(), _now(), _webhooks(), _delivery(), _queue(), _bot(), _alertmanager(), _itself()],
        refresh="10s",
    )


def _reachable() -> Row:
    seen = f"time() - min(max by (alertmanager) (relay_watchdog_last_seen_timestamp_seconds{{{RELAY}}}))"
    return Row(
        "Reachable",
        [
            number(
                "Relay", "Отвечает ли relay на опрос Prometheus; у нескольких реплик показана худшая.",
                Promql(f"min(up{{{RELAY}}})"), unit="none", limits=falling(None, 1), width=6, mappings=UP_OR_DOWN,
            ),
            number(
                "Alertmanager API", "Отвечает ли API каждого Alertmanager.",
                Promql(f"min by (alertmanager) (relay_alertmanager_up{{{RELAY}}})", "{{alertmanager}}"), unit="none",
                limits=falling(None, 1), width=6, mappings=UP_OR_DOWN,
            ),
            number(
                "Watchdog seen", "Как давно приходил алерт Watchdog. Порог алерта RelayWatchdogMissing: 15 минут.",
                Promql(seen), unit="s", limits=rising(600, 900), width=6,
            ),
            word(
                "Version", "Какая версия relay работает.",
                Promql(f"max by (version) (relay_build_info{{{RELAY}}})", "{{version}}"), width=6,
            ),
            firing("relay"),
        ],
    )  # fmt: skip


def _now() -> Row:
    return Row(
        "Now",
        [
            number(
                "Firing alerts", "Сколько алертов горит сейчас, без заглушённых и подавленных.",
                Promql(f'sum(max by (severity) (relay_alerts{{{RELAY}, state="firing"}}))'), unit="short", width=6,
            ),
            number(
                "Pending posts", "Сообщения, которые отстают от своего инцидента и ждут отправки.",
                Promql(f"sum(max by (channel) (relay_notifications_pending{{{CHANNEL}}}))"), unit="short",
                limits=rising(20, 100), width=6,
            ),
            number(
                "Oldest waiting", "Сколько ждёт самое старое из неотправленных. Порог алерта RelayQueueOld: 5 минут.",
                Promql(f"max(relay_notifications_oldest_seconds{{{CHANNEL}}})"), unit="s", limits=rising(60, 300),
                width=6,
            ),
            number(
                "Dead letters", "Сообщения, от которых пришлось отказаться; алерт RelayDeadLetters.",
                Promql(f"sum(max by (channel) (relay_dead_letters{{{CHANNEL}}}))"), unit="short",
                limits=rising(None, 1), width=6,
            ),
        ],
    )  # fmt: skip


def _webhooks() -> Row:
    refused = f'{RELAY}, outcome=~"invalid|unauthorized|unavailable"'
    alerts = f"max by (severity, state) (relay_alerts{{{RELAY}}})"
    return Row(
        "Webhooks and alerts",
        [
            graph(
                "Webhooks", "Вебхуки от Alertmanager в секунду по исходу; duplicate значит, что нового в нём не было.",
                rate_by("alertmanager, outcome", "relay_webhooks_total", RELAY), unit="reqps",
            ),
            graph(
                "Refused webhooks", "Отклонённые вебхуки: 400 и 413, 401, 503. В норме пусто или ноль.",
                increase_by("alertmanager, outcome", "relay_webhooks_total", refused, "$__rate_interval"),
                unit="short", limits=rising(None, 1),
            ),
            graph(
                "Webhook answer time", "Время от первого байта вебхука до ответа 200, то есть до записи в базу.",
                quantiles("relay_webhook_seconds", RELAY), unit="s", limits=rising(1, 5),
            ),
            graph(
                "Open alerts", "Незакрытые алерты по важности и состоянию.",
                Promql(alerts, "{{severity}} {{state}}"), unit="short", stacked=True,
            ),
        ],
    )  # fmt: skip


def _delivery() -> Row:
    good = f'sum by (channel) (increase(relay_notifications_total{{{CHANNEL}, outcome=~"sent|edited"}}[15m]))'
    every = f"sum by (channel) (increase(relay_notifications_total{{{CHANNEL}}}[15m]))"
    return Row(
        "Delivery",
        [
            graph(
                "Notification delay", "От приёма вебхука до показа людям: медиана, 95-й и 99-й процентили.",
                quantiles("relay_notification_delay_seconds", RELAY), unit="s", limits=rising(30, 300),
            ),
            graph(
                "Delay p95 by type", "95-й процентиль задержки по типам каналов: видно, кто тормозит.",
                quantile_by("type", "relay_notification_delay_seconds", RELAY), unit="s", limits=rising(30, 300),
            ),
            graph(
                "Outcomes by channel", "Шаги доставки в секунду: sent, edited, retried (будет повтор), dead (отказ).",
                rate_by("channel, outcome", "relay_notifications_total", CHANNEL), unit="ops",
            ),
            graph(
                "Failed calls by reason", "Неудачные обращения к каналу по причине. Повтор обычно исправляет их сам.",
                increase_by("channel, reason", "relay_notification_failures_total", CHANNEL, "$__rate_interval"),
                unit="short", limits=rising(None, 1),
            ),
            gauge(
                "Success by channel", "Доля успешных шагов за 15 минут. Ноль держит алерт RelayDestinationFailing.",
                share(good, every, "{{channel}}"), unit="percentunit", limits=falling(0.95, 0.5), top=1, width=12,
            ),
            heat(
                "Delay heat map", "Распределение задержек: сколько показов пришлось на каждый интервал.",
                Promql(
                    f"sum by (le) (increase(relay_notification_delay_seconds_bucket{{{RELAY}}}[$__rate_interval]))",
                    "{{le}}",
                ),
                unit="short", rows="s",
            ),
        ],
    )  # fmt: skip


def _queue() -> Row:
    def by_channel(gauge_name: str) -> Promql:
        return Promql(f"max by (channel) ({gauge_name}{{{CHANNEL}}})", "{{channel}}")

    return Row(
        "Queue and limits",
        [
            graph(
                "Pending by channel", "Сколько сообщений канала ждёт отправки.",
                by_channel("relay_notifications_pending"), unit="short", stacked=True,
            ),
            graph(
                "Oldest waiting by channel", "Возраст самого старого неотправленного; пунктир: порог RelayQueueOld.",
                by_channel("relay_notifications_oldest_seconds"), unit="s", limits=rising(None, 300),
            ),
            graph(
                "Time held back by limits", "Какую долю времени канал ждёт из-за лимитов площадки (429 и свои бюджеты).",
                rate_by("channel", "relay_rate_limited_seconds_total", CHANNEL), unit="percentunit",
                limits=rising(None, 0.5),
            ),
            graph(
                "Dead letters and paused channels",
                "Сообщения, от которых пришлось отказаться; paused: канал ничего не принимает, идут только пробы.",
                [
                    by_channel("relay_dead_letters"),
                    Promql(f"max by (channel) (relay_channel_paused{{{CHANNEL}}})", "{{channel}} paused"),
                ],
                unit="short", limits=rising(None, 1),
            ),
        ],
    )  # fmt: skip


def _bot() -> Row:
    refused = f'{RELAY}, outcome=~"refused|error"'
    return Row(
        "Bot",
        [
            graph(
                "Commands", "Команды и кнопки бота в секунду.",
                rate_by("command", "relay_bot_commands_total", RELAY), unit="ops", width=8, stacked=True,
            ),
            graph(
                "Refused and failed commands", "refused: у человека нет роли; error: ошибка при выполнении.",
                increase_by("command, outcome", "relay_bot_commands_total", refused, "$__rate_interval"),
                unit="short", limits=rising(None, 1), width=8,
            ),
            graph(
                "Command p95", "95-й процентиль времени ответа бота по командам.",
                quantile_by("command", "relay_bot_seconds", RELAY), unit="s", limits=rising(1, 3), width=8,
            ),
        ],
    )  # fmt: skip


def _alertmanager() -> Row:
    failed = f'{RELAY}, outcome!="ok"'
    return Row(
        "Alertmanager API",
        [
            graph(
                "Requests", "Запросы к API Alertmanager в секунду: опрос алертов и тишины.",
                rate_by("alertmanager, endpoint", "relay_alertmanager_requests_total", RELAY), unit="reqps",
            ),
            graph(
                "Failed requests", "Запросы без нужного ответа: refused (4xx), timeout, error.",
                increase_by(
                    "alertmanager, endpoint, outcome", "relay_alertmanager_requests_total", failed, "$__rate_interval"
                ),
                unit="short", limits=rising(None, 1),
            ),
        ],
    )  # fmt: skip


def _itself() -> Row:
    return Row(
        "The relay itself",
        [
            graph(
                "Unexpected errors", "Ошибки, которых быть не должно, по компонентам; трассировка каждой есть в логе.",
                increase_by("component", "relay_errors_total", RELAY, "$__rate_interval"), unit="short",
                limits=rising(None, 1),
            ),
            graph(
                "Template fallbacks", "Свои шаблоны, которые не сработали и заменены встроенными.",
                increase_by("type", "relay_template_fallbacks_total", RELAY, "$__rate_interval"), unit="short",
                limits=rising(None, 1),
            ),
            graph(
                "Memory", "Резидентная память процесса.",
                Promql(f"process_resident_memory_bytes{{{RELAY}}}", "{{instance}}"), unit="bytes", width=8,
            ),
            graph(
                "CPU", "Доля одного ядра процессора.",
                Promql(f"rate(process_cpu_seconds_total{{{RELAY}}}[$__rate_interval])", "{{instance}}"),
                unit="percentunit", limits=rising(None, 0.9), width=8,
            ),
            graph(
                "Open files", "Доля занятых файловых дескрипторов.",
                Promql(f"process_open_fds{{{RELAY}}} / process_max_fds{{{RELAY}}}", "{{instance}}"),
                unit="percentunit", limits=rising(0.7, 0.9), width=8,
            ),
        ],
    )  # fmt: skip
