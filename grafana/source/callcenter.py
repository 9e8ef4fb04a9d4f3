"""The call centre's two dashboards: the voice bot now, and its calls over days, weeks and months."""

from __future__ import annotations

from grafana.source.board import Board, Row, choice, prometheus_variable
from grafana.source.panels import bars, falling, firing, gauge, graph, heat, named, number, pie, rising
from grafana.source.queries import Promql, increase_by, quantiles, share

JOB = 'job="callcenter"'
STAGES = ("stt", "llm", "tts")


def total(counter: str, window: str) -> str:
    """The sum of a counter's growth over a window."""
    return f"sum(increase({counter}{{{JOB}}}[{window}]))"


def realtime() -> Board:
    return Board(
        uid="callcenter-realtime",
        folder="systems",
        title="Call centre: real time",
        description="Голосовой бот сейчас: нагрузка, очередь, задержки по этапам, ошибки и расход на API.",
        tags=["callcenter"],
        variables=[prometheus_variable()],
        rows=[_now(), _latency(), _trouble()],
        since="now-1h",
        refresh="10s",
    )


def _now() -> Row:
    transferred = share(total("calls_transferred_total", "1h"), total("calls_total", "1h"))
    spend = f"avg_over_time({total('api_cost_usd_total', '1d')}[7d:1d] offset 1d)"
    return Row(
        "Now",
        [
            gauge(
                "Active calls", "Сколько разговоров идёт прямо сейчас.",
                Promql(f"sum(active_calls{{{JOB}}})"), unit="short",
            ),
            gauge(
                "Operator queue", "Сколько клиентов ждёт оператора. Больше 5 без операторов: OperatorQueueOverflow.",
                Promql(f"max(operator_queue_length{{{JOB}}})"), unit="short", limits=rising(3, 6), top=10,
            ),
            gauge(
                "Active operators", "Сколько операторов на линии.",
                Promql(f"sum(active_operators{{{JOB}}})"), unit="short", limits=falling(2, 1),
            ),
            gauge(
                "Transferred in an hour", "Доля звонков, переданных оператору за час. Порог HighTransferRate: 50 %.",
                transferred, unit="percentunit", limits=rising(0.4, 0.5), top=1,
            ),
            gauge(
                "API spend", "Расход за сутки к среднему за неделю до них. Порог AbnormalAPISpend: 200 %.",
                share(total("api_cost_usd_total", "1d"), spend), unit="percentunit", limits=rising(1.5, 2), top=3,
            ),
            number(
                "Circuit breaker", "Отрезана ли неисправная зависимость: тогда клиенты слышат запасной сценарий.",
                Promql(f"max by (dependency) (circuit_breaker_open{{{JOB}}})", "{{dependency}}"), unit="none",
                limits=rising(None, 1), mappings=named({"0": ("closed", "green"), "1": ("open", "red")}),
            ),
            graph(
                "Load", "Звонков в минуту.",
                Promql(f"60 * sum(rate(calls_total{{{JOB}}}[$__rate_interval]))", "calls"), unit="cpm", width=24,
            ),
        ],
    )  # fmt: skip


def _latency() -> Row:
    def mean(stage: str) -> Promql:
        seconds = f"sum(rate(callcenter_{stage}_seconds_sum{{{JOB}}}[$__rate_interval]))"
        return share(seconds, f"sum(rate(callcenter_{stage}_seconds_count{{{JOB}}}[$__rate_interval]))", stage.upper())

    def p95(stage: str) -> Promql:
        return Promql(quantiles(f"callcenter_{stage}_seconds", JOB, of=(0.95,))[0].expr, stage.upper())

    return Row(
        "Latency",
        [
            graph(
                "Response latency", "Сколько клиент ждёт ответа бота; пунктир: порог HighResponseLatency для p95.",
                quantiles("callcenter_response_seconds", JOB), unit="s", limits=rising(None, 3), width=8,
            ),
            graph(
                "Latency by stage", "Среднее время этапов: распознавание, модель, синтез. Средние складываются в целое.",
                [mean(stage) for stage in STAGES], unit="s", width=8, stacked=True,
            ),
            graph(
                "Stage p95", "95-й процентиль этапов. Пороги алертов: STT и TTS 1 с (оранжевый), LLM 2 с (красный).",
                [p95(stage) for stage in STAGES], unit="s", limits=rising(1, 2), width=8,
            ),
        ],
    )  # fmt: skip


def _trouble() -> Row:
    flagged = f'{JOB}, flagged=~"(?i:true|yes|1)"'
    return Row(
        "Trouble",
        [
            graph(
                "Errors by stage", "Ошибки обработки за 10 минут; пунктир: порог PipelineErrorsHigh для суммы этапов.",
                increase_by("stage", "pipeline_errors_total", JOB, "10m"), unit="short",
                limits=rising(None, 5), width=8, stacked=True,
            ),
            graph(
                "Transfers by reason", "Передачи оператору в минуту по причинам.",
                Promql(f"60 * sum by (reason) (rate(calls_transferred_total{{{JOB}}}[$__rate_interval]))", "{{reason}}"),
                unit="cpm", width=8, stacked=True,
            ),
            graph(
                "Suspicious tool calls", "Помеченные вызовы инструментов за 10 минут: возможна prompt injection.",
                increase_by("tool", "tool_calls_total", flagged, "10m"), unit="short", limits=rising(None, 1), width=8,
            ),
            firing("callcenter"),
        ],
    )  # fmt: skip


def analytics() -> Board:
    return Board(
        uid="callcenter-analytics",
        folder="systems",
        title="Call centre: analytics",
        description="Звонки, сценарии, стоимость и заказы за дни, недели и месяцы.",
        tags=["callcenter"],
        variables=[prometheus_variable(), choice("period", "Per", ["1d", "7d", "30d"])],
        rows=[_volumes(), _shares()],
        since="now-30d",
        refresh="5m",
    )


def _volumes() -> Row:
    per = "$period"
    cost = share(total("call_cost_usd_sum", per), total("call_cost_usd_count", per), "mean", per)
    return Row(
        "Volumes",
        [
            bars(
                "Calls", "Звонков за день, неделю или месяц (выбор Per вверху).",
                Promql(total("calls_total", per), "calls", per), unit="short",
            ),
            bars(
                "Orders and fittings", "Заказы и записи на монтаж, оформленные ботом.",
                [
                    Promql(total("orders_created_total", per), "orders", per),
                    Promql(total("fittings_booked_total", per), "fittings", per),
                ],
                unit="short",
            ),
            graph("Cost of a call", "Средняя стоимость звонка.", cost, unit="currencyUSD", width=8),
            bars(
                "API spend", "Расход на внешние API.",
                increase_by("api", "api_cost_usd_total", JOB, per, per), unit="currencyUSD", width=8,
            ),
            graph(
                "Resolved by the bot", "Доля звонков, которые бот довёл до конца сам.",
                share(total("calls_resolved_by_bot_total", per), total("calls_total", per), "share", per),
                unit="percentunit", limits=falling(0.6, 0.5), width=8,
            ),
        ],
    )  # fmt: skip


def _shares() -> Row:
    return Row(
        "Shares",
        [
            pie(
                "Bot or operator", "Кто закончил разговор: бот или оператор.",
                [
                    Promql(total("calls_resolved_by_bot_total", "$__range"), "bot"),
                    Promql(total("calls_transferred_total", "$__range"), "operator"),
                ],
                unit="short",
            ),
            pie(
                "Scenarios", "Чем звонки были: распределение по сценариям.",
                increase_by("scenario", "call_scenario_total", JOB), unit="short",
            ),
            pie(
                "Transfer reasons", "Почему звонок ушёл к оператору.",
                increase_by("reason", "calls_transferred_total", JOB), unit="short",
            ),
            heat(
                "Hour of day", "Звонки по часам: столбец это сутки, которые закончились в отмеченную полночь.",
                _by_hour(), unit="short", width=24,
            ),
        ],
    )  # fmt: skip


def _by_hour() -> Promql:
    """Asked at each midnight, where steps of a day fall in the viewer's time zone: 24 windows of an hour, counted back."""

    def hour_of_day(hour: int) -> str:
        back = f" offset {23 - hour}h" if hour < 23 else ""
        return f'label_replace(sum(increase(calls_total{{{JOB}}}[1h]{back})), "hour", "{hour:02}", "", "")'

    return Promql(" or ".join(map(hour_of_day, range(24))), "{{hour}}", "1d")
