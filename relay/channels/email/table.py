"""All alerts of an incident as a CSV file, for spreadsheets that take every cell for a formula."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Mapping, Sequence

from relay.channels.email.message import Attachment
from relay.clock import Millis, to_datetime
from relay.notification import AlertView

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_LARGEST_PLAIN = 650_000  # 5,000 usual alerts; a third more once encoded
_LONGEST_CELL = 2_000

_COLUMNS: Mapping[str, Callable[[AlertView], str]] = {
    "state": lambda alert: alert.state.value,
    "severity": lambda alert: alert.severity.label,
    "alertname": lambda alert: alert.name,
    "since": lambda alert: _moment(alert.starts_at),
    "until": lambda alert: _moment(alert.ends_at),
    "acked_by": lambda alert: alert.acked_by or "",
    "silenced_until": lambda alert: _moment(alert.silenced_until),
    "id": lambda alert: alert.code,
    "summary": lambda alert: alert.annotations.get("summary", ""),
}


def alerts_table(alerts: Sequence[AlertView], common: Mapping[str, str]) -> Attachment:
    """`alerts.csv` with one line for each alert, times in UTC; compressed (`.gz`) when it would be a large mail.

    Labels that all alerts share are left to the mail itself; the others are one column, written as in PromQL.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([*_COLUMNS, "labels"])
    for alert in alerts:
        cells = [column(alert) for column in _COLUMNS.values()]
        writer.writerow([harmless(cell) for cell in (*cells, _labels(alert, common))])
    content = out.getvalue().encode("utf-8-sig", "replace")  # the mark tells Excel that it is UTF-8
    if len(content) <= _LARGEST_PLAIN:
        return Attachment(name="alerts.csv", mime="text/csv", content=content)
    return Attachment(name="alerts.csv.gz", mime="application/gzip", content=gzip.compress(content, mtime=0))


def harmless(cell: str) -> str:
    """The cell as text: what a spreadsheet would run as a formula gets a leading apostrophe (OWASP: CSV injection)."""
    shown = cell[:_LONGEST_CELL]
    return f"'{shown}" if shown.startswith(_FORMULA) else shown


def _labels(alert: AlertView, common: Mapping[str, str]) -> str:
    told = {"alertname": alert.name, "severity": alert.severity.label}
    own = sorted(item for item in alert.labels.items() if item[0] not in common and told.get(item[0]) != item[1])
    return ", ".join(f'{name}="{value}"' for name, value in own)


def _moment(at: Millis | None) -> str:
    return f"{to_datetime(at):%Y-%m-%dT%H:%M:%SZ}" if at is not None else ""
