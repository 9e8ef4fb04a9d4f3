"""BGW's scraping agents: six of them, a run each second, and a database that they write to."""

from __future__ import annotations

from relay.demo.players.series import Counter, Gauge, Histogram, Incident, Series, System

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)
_RUN_SECONDS = (1.0, 5.0, 10.0, 30.0, 60.0)
_AGENTS = ("electronics", "furniture")
_CHANNELS = ("email", "telegram")


def _runs(agent: str, status: str, level: float) -> Counter:
    return Counter("agent_runs_total", level, {"agent_id": agent, "status": status})


def _requests(status: str, level: float) -> Counter:
    return Counter("api_requests_total", level, {"method": "GET", "endpoint": "/api/events", "status": status})


def _responses(median: float) -> Histogram:
    labels = {"method": "GET", "endpoint": "/api/events"}
    return Histogram("api_response_time_seconds", median, _SECONDS, labels, per_second=8.0)


def _delivered(channel: str, level: float) -> Counter:
    return Counter("notifications_delivered_total", level, {"channel": channel})


_RUNS: tuple[Counter, ...] = tuple(
    _runs(agent, status, level)
    for agent in _AGENTS
    for status, level in (("started", 0.5), ("success", 0.48), ("error", 0.02))
)

_HEALTHY: tuple[Series, ...] = (
    Gauge("active_agents", 6),
    *_RUNS,
    *(Counter("agent_pages_fetched_total", 4.0, {"agent_id": agent}) for agent in _AGENTS),
    *(Histogram("agent_duration_seconds", 9.0, _RUN_SECONDS, {"agent_id": agent}, 0.5) for agent in _AGENTS),
    Gauge("daily_pages_used", 4200, noise=0.05),
    Gauge("daily_pages_cap", 10000),
    Counter("events_created_total", 0.6, {"event_type": "price_drop", "store_id": "12"}),
    Counter("events_created_total", 0.3, {"event_type": "new_item", "store_id": "12"}),
    *(Counter("notifications_sent_total", 1.0, {"channel": channel, "status": "ok"}) for channel in _CHANNELS),
    *(_delivered(channel, 0.99) for channel in _CHANNELS),
    Gauge("rules_active", 38),
    _requests("200", 8.0),
    _requests("500", 0.01),
    _responses(0.2),
    Gauge("system_health", 1),
    Gauge("database_connections_active", 5),
    Gauge("redis_connections_active", 3),
)

BGW = System(
    "bgw",
    "/api/metrics/prometheus",
    _HEALTHY,
    {
        "APIUnavailable": Incident(down=True),
        "DatabaseIssues": Incident((Gauge("database_connections_active", 0), Gauge("system_health", 0))),
        "NoAgentRuns": Incident(
            tuple(_runs(one.labels["agent_id"], one.labels["status"], 0.0) for one in _RUNS),
        ),
        "HighErrorRate": Incident((_requests("500", 4.0),)),
        "HighLatency": Incident((_responses(2.4),)),
        "NotificationFailures": Incident((_delivered("telegram", 0.0),)),
        "DailyQuotaExceeded": Incident((Gauge("daily_pages_used", 10000),)),
    },
)
