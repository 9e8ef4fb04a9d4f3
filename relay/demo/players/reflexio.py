"""Reflexio, the memory for language models: gauges over the last day and week."""

from __future__ import annotations

from relay.demo.players.series import Counter, Gauge, Incident, Series, System

_HEALTHY: tuple[Series, ...] = (
    Counter("reflexio_transcriptions_total", 0.3),
    Counter("reflexio_facts_total", 1.2),
    Counter("reflexio_digests_total", 0.02),
    Gauge("reflexio_cove_enabled", 1),
    Gauge("reflexio_cove_avg_confidence_24h", 0.86, noise=0.02),
    Gauge("reflexio_cove_avg_verification_rounds_24h", 1.7, noise=0.05),
    Gauge("reflexio_hallucination_rate_24h", 0.002, noise=0.2),
    Gauge("reflexio_citation_coverage_24h", 0.985, noise=0.005),
    Gauge("reflexio_atomicity_violations_24h", 2),
    Gauge("reflexio_retention_operations_7d", 168),
    Gauge("reflexio_retention_deleted_records_7d", 5230),
    Gauge("reflexio_retention_errors_7d", 0),
    Gauge("reflexio_active_locks", 2),
    Gauge("reflexio_stale_locks", 0),
)

REFLEXIO = System(
    "reflexio",
    "/metrics/prometheus",
    _HEALTHY,
    {
        "HighHallucinationRate": Incident((Gauge("reflexio_hallucination_rate_24h", 0.012),)),
        "LowCitationCoverage": Incident((Gauge("reflexio_citation_coverage_24h", 0.91),)),
        "LowCoVeConfidence": Incident((Gauge("reflexio_cove_avg_confidence_24h", 0.62),)),
        "RetentionErrors": Incident((Gauge("reflexio_retention_errors_7d", 1, climb=0.5),)),
        "StaleProcessLocks": Incident((Gauge("reflexio_stale_locks", 2),)),
    },
)
