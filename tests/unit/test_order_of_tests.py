"""The tests that take longest begin first, in one process or in several."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import LONGEST_FIRST, pytest_collection_modifyitems

ROOT = Path(__file__).parents[2]


def test_what_takes_longest_begins_first_and_the_rest_stays_in_order(request: pytest.FixtureRequest) -> None:
    items = list(reversed(request.session.items))
    others = [item for item in items if item.path.parent.name not in LONGEST_FIRST]
    pytest_collection_modifyitems(items)
    assert items[len(items) - len(others) :] == others
    folders = [item.path.parent.name for item in items[: len(items) - len(others)]]
    assert folders == sorted(folders, key=LONGEST_FIRST.index)


def test_processes_take_files_in_that_order() -> None:
    """Of itself xdist hands out the files with the most tests first, which are the short ones."""
    [options] = [line for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith("PYTEST :=")]
    assert {"--dist", "loadfile", "--no-loadscope-reorder"} <= set(options.split())


def test_every_folder_that_goes_first_holds_tests() -> None:
    assert [folder for folder in LONGEST_FIRST if not list((ROOT / "tests" / folder).glob("test_*.py"))] == []
