"""DMarket's trading bot in Telegram: 1,250 people, 6 calls of the market's API a second."""

from __future__ import annotations

from relay.demo.players.series import Counter, Gauge, Histogram, Incident, Series, System

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_SCAN_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


def _errors(level: float) -> Counter:
    return Counter("dmarket_bot_errors_total", level, {"error_type": "APIError"})


def _durations(median: float) -> Histogram:
    labels = {"method": "GET", "endpoint": "/market/items"}
    return Histogram("dmarket_bot_api_request_duration_seconds", median, _SECONDS, labels, per_second=6.0)


def _scans(level: str, game: str) -> tuple[Series, ...]:
    labels = {"level": level, "game": game}
    return (
        Counter("dmarket_bot_arbitrage_scans_total", 0.2, labels),
        Counter("dmarket_bot_arbitrage_opportunities_total", 1.5, labels),
        Histogram("dmarket_bot_arbitrage_scan_duration_seconds", 2.2, _SCAN_SECONDS, labels, 0.2),
    )


_HEALTHY: tuple[Series, ...] = (
    Counter("dmarket_bot_commands_total", 0.6, {"command": "/start"}),
    Counter("dmarket_bot_commands_total", 1.4, {"command": "/arbitrage"}),
    Counter("dmarket_bot_commands_total", 0.8, {"command": "/targets"}),
    Counter("dmarket_bot_api_requests_total", 5.9, {"method": "GET", "endpoint": "/market/items", "status": "200"}),
    Counter("dmarket_bot_api_requests_total", 0.1, {"method": "GET", "endpoint": "/market/items", "status": "429"}),
    _errors(0.05),
    *_scans("standard", "csgo"),
    *_scans("pro", "dota2"),
    Counter("dmarket_bot_targets_created_total", 0.1),
    Counter("dmarket_bot_trades_total", 0.05),
    Gauge("dmarket_bot_active_users", 1250, noise=0.03),
    Gauge("dmarket_bot_active_targets", 310),
    Gauge("dmarket_bot_balance_usd", 4815.16, noise=0.01),
    Gauge("dmarket_bot_cache_size", 2048, noise=0.1),
    _durations(0.35),
)

DMARKET = System(
    "dmarket",
    "/metrics",
    _HEALTHY,
    {
        "HighErrorRate": Incident((_errors(26.0),)),
        "SlowAPIRequests": Incident((_durations(6.0),)),
        "LowActiveUsers": Incident((Gauge("dmarket_bot_active_users", 41),)),
    },
)
