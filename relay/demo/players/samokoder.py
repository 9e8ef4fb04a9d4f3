"""Samokoder, which writes programs with language models: 20 requests a second, a project every other second."""

from __future__ import annotations

from relay.demo.players.series import Counter, Gauge, Histogram, Incident, Series, System

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
_QUERY_SECONDS = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)
_MINUTES = (10.0, 30.0, 60.0, 120.0, 300.0, 600.0)
_GIB = 2.0**30
_MODELS = (("openai", "gpt-4o", 1.5), ("anthropic", "claude-sonnet", 0.8))


def _requests(status: str, level: float) -> Counter:
    labels = {"method": "POST", "endpoint": "/api/v1/projects", "status": status}
    return Counter("samokoder_http_requests_total", level, labels)


def _durations(median: float) -> Histogram:
    labels = {"method": "POST", "endpoint": "/api/v1/projects"}
    return Histogram("samokoder_http_request_duration_seconds", median, _SECONDS, labels, per_second=20.0)


def _llm_errors(provider: str, level: float) -> Counter:
    return Counter("samokoder_llm_request_errors_total", level, {"provider": provider, "error_type": "RateLimitError"})


def _bytes(what: str, kind: str, gib: float) -> Gauge:
    return Gauge(f"samokoder_system_{what}_usage_bytes", gib * _GIB, {"type": kind})


def _projects(level: float) -> Counter:
    return Counter("samokoder_projects_created_total", level, {"user_tier": "free"})


def _llm() -> tuple[Series, ...]:
    found: list[Series] = []
    for provider, model, level in _MODELS:
        labels = {"provider": provider, "model": model}
        found += [
            Counter("samokoder_llm_requests_total", level, {**labels, "agent": "code_generator"}),
            Counter("samokoder_llm_tokens_consumed_total", level * 900, {**labels, "token_type": "prompt"}),
            Counter("samokoder_llm_tokens_consumed_total", level * 350, {**labels, "token_type": "completion"}),
            Histogram("samokoder_llm_request_duration_seconds", 2.2, _SECONDS, labels, per_second=level),
            _llm_errors(provider, 0.01),
        ]
    return tuple(found)


_HEALTHY: tuple[Series, ...] = (
    _requests("200", 20.0),
    _requests("429", 0.1),
    _requests("500", 0.002),
    _durations(0.12),
    Gauge("samokoder_http_requests_in_progress", 5, noise=0.5),
    _projects(0.5),
    Counter("samokoder_projects_created_total", 0.1, {"user_tier": "pro"}),
    Histogram("samokoder_projects_generation_duration_seconds", 45, _MINUTES, {"complexity": "simple"}, 0.5),
    *_llm(),
    Gauge("samokoder_system_cpu_usage_percent", 34, noise=0.2),
    _bytes("memory", "total", 8.0),
    _bytes("memory", "used", 4.4),
    _bytes("disk", "total", 80.0),
    _bytes("disk", "used", 41.0),
    Histogram("samokoder_db_query_duration_seconds", 0.004, _QUERY_SECONDS, {"operation": "select"}, 60.0),
    Counter("samokoder_db_errors_total", 0.001, {"error_type": "OperationalError"}),
    Gauge("samokoder_db_connections_active", 7, noise=0.3),
)

SAMOKODER = System(
    "samokoder",
    "/metrics",
    _HEALTHY,
    {
        "APIDown": Incident(down=True),
        "LowDiskSpace": Incident((_bytes("disk", "used", 75.5),)),
        "HighErrorRate": Incident((_requests("500", 9.0),)),
        "HighLatency": Incident((_durations(5.5),)),
        "HighLLMErrorRate": Incident((_llm_errors("openai", 1.2),)),
        "HighCPUUsage": Incident((Gauge("samokoder_system_cpu_usage_percent", 94, noise=0.02),)),
        "HighMemoryUsage": Incident((_bytes("memory", "used", 7.5),)),
        "HighRateLimitHits": Incident((_requests("429", 25.0),)),
        "NoProjectsCreated": Incident(
            (_projects(0.0), Counter("samokoder_projects_created_total", 0.0, {"user_tier": "pro"}))
        ),
        "ErrorBudgetBurnFast": Incident((_requests("500", 0.6),)),
        "ErrorBudgetBurnSlow": Incident((_requests("500", 0.11),)),
        "LatencyBudgetBurn": Incident((_durations(0.6),)),
    },
)
