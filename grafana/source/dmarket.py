"""DMarket's trading bot: its users and commands, arbitrage, and the market's API."""

from __future__ import annotations

from grafana.source.board import Board, Row, prometheus_variable
from grafana.source.panels import falling, firing, gauge, graph, heat, number, pie, ranking, rising
from grafana.source.queries import Promql, increase_by, quantiles, rate_by, share

JOB = 'job="dmarket"'


def board() -> Board:
    return Board(
        uid="dmarket-overview",
        folder="systems",
        title="DMarket Bot Overview",
        description="Пользователи и команды торгового бота, арбитраж и работа с API площадки.",
        tags=["dmarket"],
        variables=[prometheus_variable()],
        rows=[_now(), _general(), _arbitrage(), _api()],
    )


def hourly(counter: str, legend: str) -> Promql:
    return Promql(f"sum(increase({counter}{{{JOB}}}[1h]))", legend)


def _now() -> Row:
    return Row(
        "Now",
        [
            gauge(
                "Active users", "Активные пользователи. Меньше 100 в течение часа: LowActiveUsers.",
                Promql(f"sum(dmarket_bot_active_users{{{JOB}}})"), unit="short", limits=falling(200, 100), width=6,
            ),
            gauge(
                "Active targets", "Активные цели на покупку.",
                Promql(f"sum(dmarket_bot_active_targets{{{JOB}}})"), unit="short", width=6,
            ),
            gauge(
                "Balance", "Баланс на площадке.",
                Promql(f"sum(dmarket_bot_balance_usd{{{JOB}}})"), unit="currencyUSD", limits=falling(100, 10), width=6,
            ),
            gauge(
                "Errors per second", "Ошибки бота в секунду. Порог HighErrorRate: 10.",
                Promql(f"sum(rate(dmarket_bot_errors_total{{{JOB}}}[5m]))"), unit="ops", limits=rising(5, 10), top=20,
                width=6,
            ),
            firing("dmarket"),
        ],
    )  # fmt: skip


def _general() -> Row:
    commands = f"sum by (command) (increase(dmarket_bot_commands_total{{{JOB}}}[$__range]))"
    return Row(
        "Overview",
        [
            graph(
                "Commands per hour", "Команды за час.",
                hourly("dmarket_bot_commands_total", "commands"), unit="short", width=8,
            ),
            graph(
                "API requests per hour", "Запросы к API площадки за час.",
                hourly("dmarket_bot_api_requests_total", "requests"), unit="short", width=8,
            ),
            graph(
                "Errors per hour", "Ошибки за час по видам; пунктир: 10 в секунду, порог HighErrorRate.",
                increase_by("error_type", "dmarket_bot_errors_total", JOB, "1h"), unit="short",
                limits=rising(None, 36000), width=8,
            ),
            ranking(
                "Top 10 commands", "Самые частые команды за выбранное время.",
                Promql(f"sort_desc(topk(10, {commands}))", "{{command}}"), unit="short", width=12,
            ),
            graph(
                "Targets and trades per hour", "Созданные цели и сделки за час.",
                [hourly("dmarket_bot_targets_created_total", "targets"), hourly("dmarket_bot_trades_total", "trades")],
                unit="short",
            ),
        ],
    )  # fmt: skip


def _arbitrage() -> Row:
    scan = "dmarket_bot_arbitrage_scan_duration_seconds"
    mean = share(
        f"sum(rate({scan}_sum{{{JOB}}}[$__rate_interval]))", f"sum(rate({scan}_count{{{JOB}}}[$__rate_interval]))"
    )
    return Row(
        "Arbitrage",
        [
            graph(
                "Scans per day by level", "Сканирования за сутки по уровням.",
                increase_by("level", "dmarket_bot_arbitrage_scans_total", JOB, "1d"), unit="short", stacked=True,
            ),
            graph(
                "Opportunities per hour", "Найденные возможности за час по уровням.",
                increase_by("level", "dmarket_bot_arbitrage_opportunities_total", JOB, "1h"), unit="short",
            ),
            gauge(
                "Mean scan duration", "Среднее время одного сканирования.",
                mean, unit="s", limits=rising(10, 30), top=60, width=8,
            ),
            number(
                "Cache size", "Записей в кэше.",
                Promql(f"sum(dmarket_bot_cache_size{{{JOB}}})"), unit="short", width=8,
            ),
            pie(
                "Scans by game", "Распределение сканирований по играм.",
                increase_by("game", "dmarket_bot_arbitrage_scans_total", JOB), unit="short",
            ),
        ],
    )  # fmt: skip


def _api() -> Row:
    requests = "dmarket_bot_api_requests_total"
    limited = share(f'sum(increase({requests}{{{JOB}, status="429"}}[5m]))', f"sum(increase({requests}{{{JOB}}}[5m]))")
    return Row(
        "API performance",
        [
            graph(
                "Requests per second", "Запросы в секунду по пути и коду ответа.",
                rate_by("endpoint, status", requests, JOB), unit="reqps",
            ),
            graph(
                "Latency", "Медиана, p95 и p99 времени ответа; пунктир: порог SlowAPIRequests для p95.",
                quantiles("dmarket_bot_api_request_duration_seconds", JOB), unit="s", limits=rising(None, 5),
            ),
            heat(
                "Errors by endpoint", "Ответы 4xx и 5xx по путям: чем темнее, тем больше.",
                increase_by("endpoint", requests, f'{JOB}, status=~"[45].."', "$__rate_interval"), unit="short",
                width=16,
            ),
            gauge(
                "Rate limited", "Доля отказов 429 за 5 минут: насколько площадка нас притормаживает.",
                limited, unit="percentunit", limits=rising(0.05, 0.2), top=1, width=8,
            ),
        ],
    )  # fmt: skip
