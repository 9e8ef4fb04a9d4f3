"""Reflexio, the LLM memory: quality of its facts, retention, and locks."""

from __future__ import annotations

from grafana.source.board import Board, Row, prometheus_variable
from grafana.source.panels import falling, firing, graph, named, number, rising
from grafana.source.queries import Promql

JOB = 'job="reflexio"'


def board() -> Board:
    return Board(
        uid="reflexio-v41",
        folder="systems",
        title="Reflexio 24/7 Production Metrics",
        description="Качество фактов (галлюцинации, цитирование, CoVe), хранение данных и блокировки процессов Reflexio.",
        tags=["reflexio"],
        variables=[prometheus_variable()],
        rows=[_quality(), _retention(), _work()],
        since="now-24h",
    )


def gauge_of(name: str, legend: str = "") -> Promql:
    return Promql(f"{name}{{{JOB}}}", legend)


def _quality() -> Row:
    return Row(
        "Quality",
        [
            graph(
                "Hallucination Rate (24h)", "Доля галлюцинаций за сутки. Порог HighHallucinationRate: 0,5 %.",
                gauge_of("reflexio_hallucination_rate_24h", "rate"), unit="percentunit", limits=rising(None, 0.005),
                width=8,
            ),
            graph(
                "Citation Coverage (24h)", "Доля фактов со ссылкой на источник. Цель 98 %, порог LowCitationCoverage: 95 %.",
                gauge_of("reflexio_citation_coverage_24h", "coverage"), unit="percentunit", limits=falling(0.98, 0.95),
                width=8,
            ).min(0.8).max(1),
            graph(
                "CoVe Confidence (24h)", "Средняя уверенность проверки CoVe. Порог LowCoVeConfidence: 0,70.",
                gauge_of("reflexio_cove_avg_confidence_24h", "confidence"), unit="percentunit",
                limits=falling(0.75, 0.7), width=8,
            ).max(1),
            number(
                "CoVe", "Включена ли проверка Chain of Verification.",
                gauge_of("reflexio_cove_enabled"), unit="none", limits=falling(None, 1), width=8,
                mappings=named({"1": ("on", "green"), "0": ("off", "red")}),
            ),
            number(
                "Verification rounds (24h)", "Среднее число раундов проверки.",
                gauge_of("reflexio_cove_avg_verification_rounds_24h"), unit="short", width=8,
            ),
            number(
                "Atomicity violations (24h)", "Факты, в которых больше одного утверждения.",
                gauge_of("reflexio_atomicity_violations_24h"), unit="short", limits=rising(5, 20), width=8,
            ),
        ],
    )  # fmt: skip


def _retention() -> Row:
    return Row(
        "Retention and locks",
        [
            number(
                "Retention Operations (7d)", "Операции очистки за неделю. Ноль: очистка не работает.",
                gauge_of("reflexio_retention_operations_7d"), unit="short", limits=falling(None, 1),
            ),
            number(
                "Deleted records (7d)", "Удалённые записи за неделю.",
                gauge_of("reflexio_retention_deleted_records_7d"), unit="short",
            ),
            number(
                "Retention Errors (7d)", "Ошибки очистки за неделю. Рост за последний час: RetentionErrors.",
                gauge_of("reflexio_retention_errors_7d"), unit="short", limits=rising(None, 1),
            ),
            number(
                "New errors in an hour", "На сколько выросло число ошибок очистки за час.",
                Promql(f"delta(reflexio_retention_errors_7d{{{JOB}}}[1h])"), unit="short", limits=rising(None, 1),
            ),
            number(
                "Active ProcessLocks", "Действующие блокировки процессов.",
                gauge_of("reflexio_active_locks"), unit="short",
            ),
            number(
                "Stale ProcessLocks", "Блокировки старше часа. Больше нуля пять минут: StaleProcessLocks.",
                gauge_of("reflexio_stale_locks"), unit="short", limits=rising(None, 1),
            ),
            firing("reflexio"),
        ],
    )  # fmt: skip


def _work() -> Row:
    def hourly(what: str) -> Promql:
        return Promql(f"sum(increase(reflexio_{what}_total{{{JOB}}}[1h]))", what)

    return Row(
        "Work",
        [
            graph(
                "Transcriptions, facts, digests", "Сколько расшифровок, фактов и сводок появилось за час.",
                [hourly("transcriptions"), hourly("facts"), hourly("digests")], unit="short", width=24,
            ),
        ],
    )  # fmt: skip
