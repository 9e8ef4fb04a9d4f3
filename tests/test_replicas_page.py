"""What each failure costs, as the page says: every row names the test that shows it."""

from __future__ import annotations

import re

import pytest

from tests.programs import ROOT

PAGE = ROOT / "docs" / "howto" / "replicas.md"
ROWS = [line for line in PAGE.read_text().splitlines() if re.match(r"\| (?!---|What fails)", line)]


def test_the_page_has_a_table() -> None:
    assert len(ROWS) > 10


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_a_failure_of_the_table_has_its_test(row: str) -> None:
    [(file, name)] = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row)
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE), f"{file} has no {name}"
