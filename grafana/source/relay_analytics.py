"""The relay over weeks: how many alerts, how noisy, how fast people were. SQL over the relay's own tables in PostgreSQL.

The figures are those of the bot's `/stats` (`relay/store/statistics.py`); a test compares the two.
"""

from __future__ import annotations

from grafana.source.board import Board, Row, Variable, choice, database_variable, sql_choice
from grafana.source.panels import bars, graph, heat, number, rising, sql_pie, table
from grafana.source.queries import Sql
from relay.severity import Severity

NO_SERVICE = "(none)"
"""The service of alerts without that label; it also keeps the list of services from ever being empty."""

NOISIEST = 10

SERVICE = f"coalesce(nullif(a.labels::json ->> 'service', ''), '{NO_SERVICE}')"
LEVELS = ", ".join(f"'{severity.label}'" for severity in sorted(Severity))
RUNS = f"""\
WITH runs AS (
  SELECT
    e.*,
    a.severity AS level,
    (ARRAY[{LEVELS}])[a.severity + 1] AS severity,
    {SERVICE} AS service,
    coalesce(a.labels::json ->> 'alertname', '') AS alertname,
    CASE WHEN e.acked_at IS NOT NULL THEN greatest(e.acked_at - e.opened_at, 0) / 1000.0 END AS to_ack,
    CASE WHEN e.ends_at IS NOT NULL THEN greatest(e.ends_at - e.starts_at, 0) / 1000.0 END AS to_resolve,
    date_trunc('${{per}}', to_timestamp(e.opened_at / 1000.0), '${{__timezone}}') AS bucket,
    to_timestamp(e.opened_at / 1000.0) AT TIME ZONE '${{__timezone}}' AS local
  FROM episodes e JOIN alerts a ON a.id = e.alert_id
  WHERE NOT a.exempt AND e.opened_at >= $__from AND e.opened_at < $__to
), chosen AS (
  SELECT * FROM runs WHERE severity IN (${{severity:sqlstring}}) AND service IN (${{service:sqlstring}})
)
"""
"""Every run of an alert that began in the stretch of time shown; test alerts are left out. Lengths in seconds."""


def runs(statement: str) -> Sql:
    """A statement over `chosen`, the runs of the severities and services that are chosen at the top."""
    return Sql(RUNS + statement)


def board() -> Board:
    return Board(
        uid="relay-analytics",
        folder="relay",
        title="Relay: analytics",
        description="Сколько алертов, какие шумят больше всех, как быстро их берут в работу и закрывают. Нужен PostgreSQL.",
        tags=["relay"],
        variables=_variables(),
        rows=[_summary(), _over_time(), _people(), _noise()],
        since="now-30d",
        refresh="5m",
    )


def _variables() -> list[Variable]:
    services = f"SELECT DISTINCT {SERVICE} AS service FROM alerts a UNION SELECT '{NO_SERVICE}' ORDER BY 1"
    return [
        database_variable(),
        choice("per", "Per", ["day", "week", "month"]),
        choice("severity", "Severity", [severity.label for severity in sorted(Severity, reverse=True)], several=True),
        sql_choice("service", "Service", services),
    ]


def _summary() -> Row:
    return Row(
        "Summary",
        [
            number(
                "Alerts", "Сколько раз алерты загорались за выбранное время.",
                runs("SELECT count(*) AS alerts FROM chosen"), unit="short",
            ),
            number(
                "Still open", "Сколько из них ещё не закрыто.",
                runs("SELECT count(*) FILTER (WHERE ends_at IS NULL) AS open FROM chosen"), unit="short",
            ),
            number(
                "Acknowledged", "Доля алертов, которые кто-то взял в работу.",
                runs("SELECT count(to_ack)::float / nullif(count(*), 0) AS acknowledged FROM chosen"),
                unit="percentunit",
            ),
            number(
                "Time to acknowledge", "Среднее время от прихода алерта до взятия в работу.",
                runs("SELECT avg(to_ack)::float AS seconds FROM chosen"), unit="s", limits=rising(900, 3600),
            ),
            number(
                "Time to resolve", "Среднее время от начала алерта до его конца.",
                runs("SELECT avg(to_resolve)::float AS seconds FROM chosen"), unit="s", limits=rising(3600, 14400),
            ),
            number(
                "Median to resolve", "Половина алертов закрывается быстрее.",
                runs("SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY to_resolve) AS seconds FROM chosen"),
                unit="s", limits=rising(3600, 14400),
            ),
        ],
    )  # fmt: skip


def _over_time() -> Row:
    def counted(column: str) -> Sql:
        return runs(
            f"SELECT bucket AS time, {column} AS metric, count(*) AS value FROM chosen GROUP BY 1, 2 ORDER BY 1, 2"
        )

    return Row(
        "Alerts over time",
        [
            bars(
                "Alerts by severity", "Алерты за день, неделю или месяц (выбор Per вверху) по важности.",
                counted("severity"), unit="short",
            ),
            bars(
                "Alerts by service", "Алерты за день, неделю или месяц по системам.",
                counted("service"), unit="short",
            ),
            heat(
                "Hour of day", "В какие часы звенит: столбец это сутки, строка это час, цвет это число алертов.",
                runs(
                    "SELECT day AT TIME ZONE '${__timezone}' AS time, to_char(hour, 'FM00') AS metric, count(id) AS value\n"
                    "FROM generate_series(\n"
                    "    date_trunc('day', to_timestamp($__from / 1000.0) AT TIME ZONE '${__timezone}'),\n"
                    "    to_timestamp($__to / 1000.0) AT TIME ZONE '${__timezone}', interval '1 day') AS day\n"
                    "  CROSS JOIN generate_series(0, 23) AS hour\n"
                    "  LEFT JOIN chosen ON date_trunc('day', local) = day AND extract(hour FROM local) = hour\n"
                    "GROUP BY day, hour ORDER BY day, hour"
                ),
                unit="short", width=24,
            ),
        ],
    )  # fmt: skip


def _people() -> Row:
    def over_time(value: str, metric: str = "severity") -> Sql:
        return runs(
            f"SELECT bucket AS time, {metric} AS metric, {value} AS value FROM chosen GROUP BY 1, 2 ORDER BY 1, 2"
        )

    return Row(
        "People",
        [
            graph(
                "Share acknowledged", "Доля алертов, взятых в работу, по важности.",
                over_time("count(to_ack)::float / count(*)"), unit="percentunit", width=8,
            ),
            graph(
                "Time to acknowledge", "Среднее время до взятия в работу, по важности.",
                over_time("avg(to_ack)::float"), unit="s", limits=rising(None, 3600), width=8,
            ),
            graph(
                "Time to resolve", "Среднее время до закрытия, по важности.",
                over_time("avg(to_resolve)::float"), unit="s", limits=rising(None, 14400), width=8,
            ),
            table(
                "By severity", "То же, что команда бота /stats: алерты, взятые в работу, средние времена.",
                runs(
                    'SELECT severity AS "Severity", count(*) AS "Alerts", count(to_ack) AS "Acknowledged",\n'
                    '  avg(to_ack)::float AS "Time to acknowledge", avg(to_resolve)::float AS "Time to resolve"\n'
                    "FROM chosen GROUP BY severity, level ORDER BY level DESC"
                ),
                units={"Time to acknowledge": "s", "Time to resolve": "s"}, width=24,
            ),
        ],
    )  # fmt: skip


def _noise() -> Row:
    return Row(
        "Noise",
        [
            table(
                "Noisiest alerts", "Десять алертов, которые загорались чаще всех: кандидаты на новый порог или на удаление.",
                runs(
                    'SELECT service AS "Service", alertname AS "Alert", count(*) AS "Alerts",\n'
                    '  count(to_ack)::float / count(*) AS "Acknowledged", avg(to_resolve)::float AS "Time to resolve"\n'
                    f"FROM chosen GROUP BY service, alertname ORDER BY count(*) DESC, 1, 2 LIMIT {NOISIEST}"
                ),
                units={"Acknowledged": "percentunit", "Time to resolve": "s"}, width=16,
            ),
            sql_pie(
                "Share of services", "Какая система даёт больше всего алертов.",
                runs("SELECT service, count(*) AS alerts FROM chosen GROUP BY 1 ORDER BY 2 DESC, 1"), unit="short",
            ),
        ],
    )  # fmt: skip
