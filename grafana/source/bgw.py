"""BGW's scraping agents: runs, pages and their quota, events, notifications, the API."""

from __future__ import annotations

from grafana.source.board import Board, Row, prometheus_variable
from grafana.source.panels import UP_OR_DOWN, falling, firing, gauge, graph, named, number, rising
from grafana.source.queries import Promql, quantile_by, quantiles, rate_by, share

JOB = 'job="bgw"'


def board() -> Board:
    return Board(
        uid="bgw-overview",
        folder="systems",
        title="BGW Overview",
        description="Агенты, страницы и дневной лимит, события, уведомления, API и состояние системы BGW.",
        tags=["bgw"],
        variables=[prometheus_variable()],
        rows=[_now(), _pace(), _agents(), _notifications(), _api()],
    )


def _now() -> Row:
    health = named({"1": ("healthy", "green"), "0": ("trouble", "red")})
    return Row(
        "Now",
        [
            number(
                "API", "Отвечает ли API на опрос. Больше минуты без ответа: APIUnavailable.",
                Promql(f"min(up{{{JOB}}})"), unit="none", limits=falling(None, 1), mappings=UP_OR_DOWN,
            ),
            number(
                "System health", "Что система говорит о себе сама. Ноль держит алерт DatabaseIssues.",
                Promql(f"min(system_health{{{JOB}}})"), unit="none", limits=falling(None, 1), mappings=health,
            ),
            number(
                "Active agents", "Сколько агентов работает.",
                Promql(f"sum(active_agents{{{JOB}}})"), unit="short", limits=falling(None, 1),
            ),
            number(
                "Active rules", "Сколько правил уведомлений включено.",
                Promql(f"sum(rules_active{{{JOB}}})"), unit="short",
            ),
            number(
                "Database connections", "Активные подключения к базе данных. Ноль держит алерт DatabaseIssues.",
                Promql(f"sum(database_connections_active{{{JOB}}})"), unit="short", limits=falling(None, 1),
            ),
            number(
                "Redis connections", "Активные подключения к Redis.",
                Promql(f"sum(redis_connections_active{{{JOB}}})"), unit="short", limits=falling(None, 1),
            ),
            firing("bgw"),
        ],
    )  # fmt: skip


def _pace() -> Row:
    return Row(
        "Pace",
        [
            gauge(
                "Daily quota", "Доля дневного лимита страниц. 100 %: DailyQuotaExceeded, агенты стоят до завтра.",
                share(f"sum(daily_pages_used{{{JOB}}})", f"sum(daily_pages_cap{{{JOB}}})"), unit="percentunit",
                limits=rising(0.8, 1), top=1, width=12,
            ),
            gauge(
                "Runs in 10 minutes", "Запуски агентов за 10 минут. Ноль: NoAgentRuns.",
                Promql(f"sum(increase(agent_runs_total{{{JOB}}}[10m]))"), unit="short", limits=falling(None, 1), width=12,
            ),
        ],
    )  # fmt: skip


def _agents() -> Row:
    return Row(
        "Agents",
        [
            graph(
                "Runs by status", "Запуски агентов в секунду по исходу.",
                rate_by("status", "agent_runs_total", JOB), unit="ops", width=8,
            ),
            graph(
                "Failed runs by agent", "Неудачные запуски в секунду: какой агент сломан.",
                rate_by("agent_id", "agent_runs_total", f'{JOB}, status="error"'), unit="ops", limits=rising(None, 0.1),
                width=8,
            ),
            graph(
                "Run duration p95", "95-й процентиль времени работы агента.",
                quantile_by("agent_id", "agent_duration_seconds", JOB), unit="s", limits=rising(None, 60), width=8,
            ),
            graph(
                "Pages fetched", "Загруженные страницы в секунду по агентам.",
                rate_by("agent_id", "agent_pages_fetched_total", JOB), unit="ops", width=8, stacked=True,
            ),
            graph(
                "Pages of today", "Использовано страниц и лимит.",
                [
                    Promql(f"sum(daily_pages_used{{{JOB}}})", "used"),
                    Promql(f"sum(daily_pages_cap{{{JOB}}})", "cap"),
                ],
                unit="short", width=8,
            ),
            graph(
                "Events created", "Созданные события в секунду по видам.",
                rate_by("event_type", "events_created_total", JOB), unit="ops", width=8, stacked=True,
            ),
        ],
    )  # fmt: skip


def _notifications() -> Row:
    sent = f"sum(increase(notifications_sent_total{{{JOB}}}[15m]))"
    delivered = f"sum(increase(notifications_delivered_total{{{JOB}}}[15m])) or 0 * {sent}"
    lost = Promql(f"clamp_min(1 - ({delivered}) / ({sent} > 0), 0)", "lost")
    return Row(
        "Notifications",
        [
            graph(
                "Notifications sent", "Отправленные уведомления в секунду по каналу и исходу.",
                rate_by("channel, status", "notifications_sent_total", JOB), unit="ops",
            ),
            graph(
                "Not delivered", "Доля недоставленных за 15 минут; пунктир: порог NotificationFailures.",
                lost, unit="percentunit", limits=rising(None, 0.1),
            ),
        ],
    )  # fmt: skip


def _api() -> Row:
    failing = share(
        f'sum(rate(api_requests_total{{{JOB}, status=~"5.."}}[5m]))',
        f"sum(rate(api_requests_total{{{JOB}}}[5m]))",
        "5xx",
    )
    return Row(
        "API",
        [
            graph(
                "Requests", "Запросы к API в секунду по методу, пути и коду ответа.",
                rate_by("method, endpoint, status", "api_requests_total", JOB), unit="reqps", width=8,
            ),
            graph(
                "Response time", "Медиана, p95 и p99 времени ответа; пунктир: порог HighLatency для p95.",
                quantiles("api_response_time_seconds", JOB), unit="s", limits=rising(None, 2), width=8,
            ),
            graph(
                "Error share", "Доля ответов 5xx за 5 минут; пунктир: порог HighErrorRate.",
                failing, unit="percentunit", limits=rising(None, 0.05), width=8,
            ),
        ],
    )  # fmt: skip
