"""The call centre's voice bot: 3 calls a second on a good day, a fifth of them handed over to operators."""

from __future__ import annotations

from relay.demo.players.series import Counter, Gauge, Histogram, Incident, Series, System

_SECONDS = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
_USD = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


def _transfers(reason: str, level: float) -> Counter:
    return Counter("calls_transferred_total", level, {"reason": reason})


def _seconds(stage: str, median: float) -> Histogram:
    return Histogram(f"callcenter_{stage}_seconds", median, _SECONDS)


def _errors(stage: str, level: float) -> Counter:
    return Counter("pipeline_errors_total", level, {"stage": stage})


def _tool_calls(tool: str, level: float, *, flagged: str = "false") -> Counter:
    return Counter("tool_calls_total", level, {"tool": tool, "flagged": flagged})


def _spend(api: str, level: float) -> Counter:
    return Counter("api_cost_usd_total", level, {"api": api}, whole=False)


_HEALTHY: tuple[Series, ...] = (
    Counter("calls_total", 3.0),
    Counter("calls_resolved_by_bot_total", 2.4),
    _transfers("wish", 0.4),
    _transfers("complaint", 0.2),
    Counter("orders_created_total", 0.5),
    Counter("fittings_booked_total", 0.3),
    Histogram("call_cost_usd", 0.12, _USD, per_second=3.0),
    Counter("call_scenario_total", 1.5, {"scenario": "order"}),
    Counter("call_scenario_total", 0.9, {"scenario": "fitting"}),
    Counter("call_scenario_total", 0.6, {"scenario": "question"}),
    Gauge("active_calls", 24, noise=0.2),
    Gauge("operator_queue_length", 1),
    Gauge("active_operators", 4),
    _seconds("stt", 0.3),
    _seconds("llm", 0.7),
    _seconds("tts", 0.25),
    _seconds("response", 1.2),
    _errors("stt", 0.001),
    _errors("llm", 0.002),
    _errors("tts", 0.001),
    _spend("llm", 0.004),
    _spend("stt", 0.001),
    _tool_calls("create_order", 0.5),
    _tool_calls("book_fitting", 0.3),
    _tool_calls("create_order", 0.0, flagged="true"),
    _tool_calls("book_fitting", 0.0, flagged="true"),
    Gauge("circuit_breaker_open", 0, {"dependency": "orders"}),
)

CALL_CENTER = System(
    "callcenter",
    "/metrics",
    _HEALTHY,
    {
        "HighTransferRate": Incident((_transfers("wish", 2.0), _transfers("complaint", 0.8))),
        "PipelineErrorsHigh": Incident((_errors("stt", 1.5), _errors("llm", 2.0))),
        "HighResponseLatency": Incident((_seconds("response", 3.4),)),
        "HighSTTLatency": Incident((_seconds("stt", 1.3),)),
        "HighLLMLatency": Incident((_seconds("llm", 2.6),)),
        "HighTTSLatency": Incident((_seconds("tts", 1.1),)),
        "OperatorQueueOverflow": Incident((Gauge("operator_queue_length", 9), Gauge("active_operators", 0))),
        "AbnormalAPISpend": Incident((_spend("llm", 0.2),)),
        "SuspiciousToolCalls": Incident((_tool_calls("create_order", 0.7, flagged="true"),)),
        "CircuitBreakerOpen": Incident((Gauge("circuit_breaker_open", 1, {"dependency": "orders"}),)),
    },
)
