"""Samokoder: the API, its language models, the machine, the database, and what is left of the error budget."""

from __future__ import annotations

from grafana.source.board import Board, Row, prometheus_variable
from grafana.source.panels import UP_OR_DOWN, falling, firing, gauge, graph, number, rising
from grafana.source.queries import Promql, increase_by, quantile_by, quantiles, rate_by, share

JOB = 'job="samokoder"'
SLO = 0.999
MONTH = "30d"
MONTH_SECONDS = 30 * 24 * 3600


def board() -> Board:
    return Board(
        uid="samokoder-overview",
        folder="systems",
        title="Samokoder Overview",
        description="API Samokoder: запросы, задержки, LLM, ресурсы машины, база данных и бюджет ошибок (SLO 99,9 %).",
        tags=["samokoder"],
        variables=[prometheus_variable()],
        rows=[_now(), _machine(), _api(), _slo(), _models(), _projects(), _database()],
    )


def used(what: str) -> Promql:
    """The share of memory or disk in use."""
    name = f"samokoder_system_{what}_usage_bytes"
    total = f'{name}{{{JOB}, type="total"}}'
    return Promql(f'{name}{{{JOB}, type="used"}} / ignoring (type) ({total} > 0)', "{{instance}}")


def _now() -> Row:
    return Row(
        "Now",
        [
            number(
                "API Health", "Отвечает ли API на опрос. Больше минуты без ответа: APIDown.",
                Promql(f"min(up{{{JOB}}})"), unit="none", limits=falling(None, 1), mappings=UP_OR_DOWN,
            ),
            number(
                "Requests in progress", "Сколько запросов обрабатывается прямо сейчас.",
                Promql(f"sum(samokoder_http_requests_in_progress{{{JOB}}})"), unit="short", limits=rising(50, 100),
            ),
            number(
                "Error share", "Доля ответов 5xx за 5 минут. Порог HighErrorRate: 5 %.",
                share("samokoder:http_requests_5xx:rate5m", "samokoder:http_requests:rate5m"), unit="percentunit",
                limits=rising(0.01, 0.05),
            ),
            number(
                "Error budget left", "Сколько осталось от месячного бюджета ошибок; ниже нуля обещание нарушено.",
                Promql("samokoder:error_budget:remaining30d"), unit="percentunit", limits=falling(0.5, 0.1),
            ),
            number(
                "Availability (30 days)", "Доля запросов без 5xx за 30 дней. Обещано 99,9 %.",
                share(
                    f"avg_over_time(samokoder:http_requests:rate5m[{MONTH}])"
                    f" - avg_over_time(samokoder:http_requests_5xx:rate5m[{MONTH}])",
                    f"avg_over_time(samokoder:http_requests:rate5m[{MONTH}])",
                ),
                unit="percentunit", limits=falling(SLO + 0.0005, SLO),
            ).decimals(3),
            number(
                "Projects in an hour", "Создано проектов за последний час. Ноль два часа подряд: NoProjectsCreated.",
                Promql(f"sum(increase(samokoder_projects_created_total{{{JOB}}}[1h]))"), unit="short",
                limits=falling(None, 1),
            ),
            firing("samokoder"),
        ],
    )  # fmt: skip


def _machine() -> Row:
    return Row(
        "Machine",
        [
            gauge(
                "CPU", "Загрузка процессора. Порог HighCPUUsage: 80 % за 10 минут.",
                Promql(f"samokoder_system_cpu_usage_percent{{{JOB}}}", "{{instance}}"), unit="percent",
                limits=rising(60, 80), top=100, width=8,
            ),
            gauge(
                "Memory", "Занятая память. Порог HighMemoryUsage: 85 % за 10 минут.",
                used("memory"), unit="percentunit", limits=rising(0.7, 0.85), top=1, width=8,
            ),
            gauge(
                "Disk", "Занятое место на диске. Порог LowDiskSpace: свободно меньше 10 %.",
                used("disk"), unit="percentunit", limits=rising(0.8, 0.9), top=1, width=8,
            ),
        ],
    )  # fmt: skip


def _api() -> Row:
    failing = share("samokoder:http_requests_5xx:rate5m", "samokoder:http_requests:rate5m", "5xx")
    return Row(
        "HTTP API",
        [
            graph(
                "HTTP Request Rate", "Запросы в секунду по методу, пути и коду ответа.",
                rate_by("method, endpoint, status", "samokoder_http_requests_total", JOB), unit="reqps",
            ),
            graph(
                "API Latency (p50, p95, p99)", "Медиана, p95 и p99 времени ответа; пунктир: порог HighLatency для p95.",
                quantiles("samokoder_http_request_duration_seconds", JOB), unit="s", limits=rising(None, 5),
            ),
            graph(
                "Error Rate (5xx)", "Доля ответов 5xx; пунктир: порог HighErrorRate.",
                failing, unit="percentunit", limits=rising(None, 0.05), width=8,
            ),
            graph(
                "Requests In Progress", "Одновременные запросы по времени.",
                Promql(f"sum(samokoder_http_requests_in_progress{{{JOB}}})", "requests"), unit="short", width=8,
            ),
            graph(
                "Rate limit hits", "Отказы 429 в секунду; пунктир: порог HighRateLimitHits.",
                Promql(f'sum(rate(samokoder_http_requests_total{{{JOB}, status="429"}}[$__rate_interval]))', "429"),
                unit="reqps", limits=rising(None, 10), width=8,
            ),
        ],
    )  # fmt: skip


def _slo() -> Row:
    def burn(window: str) -> Promql:
        whole = f"avg_over_time(samokoder:http_requests:rate5m[{window}])"
        failed = f"avg_over_time(samokoder:http_requests_5xx:rate5m[{window}])"
        return Promql(f"{failed} / ({whole} > 0) / (1 - {SLO})", window)

    left = f"samokoder:error_budget:remaining30d * (1 - {SLO}) * {MONTH_SECONDS}"
    slow = share(
        "avg_over_time(samokoder:http_requests_slow:rate5m[1h])", "avg_over_time(samokoder:http_requests:rate5m[1h])"
    )
    return Row(
        "SLO: 99.9 % of requests without 5xx over 30 days, 95 % within 0.5 s",
        [
            graph(
                "Error budget left", "Остаток месячного бюджета: 100 % нетронут, 0 % потрачен.",
                Promql("samokoder:error_budget:remaining30d", "left"), unit="percentunit", limits=falling(0.5, 0.1),
                floor=None,
            ),
            graph(
                "Burn rate", "Во сколько раз быстрее допустимого тратится бюджет; алерты: 14,4 за час, 6 за 6 часов.",
                [burn("1h"), burn("6h"), burn("1d")], unit="suffix:×", limits=rising(6, 14.4),
            ),
            number(
                "Downtime left", "Сколько полного простоя ещё вмещает бюджет этого месяца (всего 43 минуты).",
                Promql(left), unit="s", limits=falling(1296, 260), width=12,
            ),
            number(
                "Slow requests (1 hour)", "Доля запросов дольше 0,5 с за час. SLO допускает 5 %.",
                slow, unit="percentunit", limits=rising(0.03, 0.05), width=12,
            ),
        ],
    )  # fmt: skip


def _models() -> Row:
    failing = share("provider:samokoder_llm_errors:rate5m", "provider:samokoder_llm_calls:rate5m", "{{provider}}")
    return Row(
        "Language models",
        [
            graph(
                "LLM Request Rate", "Запросы к провайдерам LLM в секунду по провайдеру и модели.",
                rate_by("provider, model", "samokoder_llm_requests_total", JOB), unit="reqps",
            ),
            graph(
                "LLM Token Consumption", "Токены в час: это деньги.",
                increase_by("provider, token_type", "samokoder_llm_tokens_consumed_total", JOB, "1h"), unit="short",
                stacked=True,
            ),
            graph(
                "LLM errors", "Доля неудачных запросов по провайдеру; пунктир: порог HighLLMErrorRate.",
                failing, unit="percentunit", limits=rising(None, 0.1),
            ),
            graph(
                "LLM latency p95", "95-й процентиль времени ответа модели по провайдеру.",
                quantile_by("provider", "samokoder_llm_request_duration_seconds", JOB), unit="s",
                limits=rising(None, 10),
            ),
        ],
    )  # fmt: skip


def _projects() -> Row:
    return Row(
        "Projects",
        [
            graph(
                "Projects created", "Создано проектов за час по тарифам.",
                increase_by("user_tier", "samokoder_projects_created_total", JOB, "1h"), unit="short", stacked=True,
            ),
            graph(
                "Generation p95", "95-й процентиль времени создания проекта по сложности.",
                quantile_by("complexity", "samokoder_projects_generation_duration_seconds", JOB), unit="s",
                limits=rising(None, 300),
            ),
        ],
    )  # fmt: skip


def _database() -> Row:
    return Row(
        "Database",
        [
            graph(
                "Query latency", "Медиана, p95 и p99 времени запросов к базе данных.",
                quantiles("samokoder_db_query_duration_seconds", JOB), unit="s", limits=rising(None, 0.5), width=8,
            ),
            graph(
                "Errors", "Ошибки базы данных в секунду.",
                rate_by("error_type", "samokoder_db_errors_total", JOB), unit="ops", limits=rising(None, 0.1), width=8,
            ),
            graph(
                "Active connections", "Активные подключения к базе данных.",
                Promql(f"sum(samokoder_db_connections_active{{{JOB}}})", "connections"), unit="short", width=8,
            ),
        ],
    )  # fmt: skip
