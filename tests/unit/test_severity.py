from __future__ import annotations

import pytest

from relay.severity import DEFAULT_LEVELS, Severity, SeverityMap


@pytest.mark.parametrize(
    ("value", "severity"),
    [
        ("critical", Severity.CRITICAL),
        ("page", Severity.CRITICAL),
        ("Disaster", Severity.CRITICAL),
        ("error", Severity.ERROR),
        ("HIGH", Severity.ERROR),
        ("warning", Severity.WARNING),
        (" warn ", Severity.WARNING),
        ("info", Severity.INFO),
        ("none", Severity.INFO),
    ],
)
def test_label_values_mean_one_of_four_levels_whatever_their_case(value: str, severity: Severity) -> None:
    assert SeverityMap().of({"severity": value}) is severity


@pytest.mark.parametrize("labels", [{}, {"severity": ""}, {"severity": "purple"}, {"priority": "critical"}])
def test_missing_and_unknown_severities_are_warnings(labels: dict[str, str]) -> None:
    assert SeverityMap().of(labels) is Severity.WARNING


def test_levels_compare_so_that_raised_is_a_comparison() -> None:
    assert Severity.CRITICAL > Severity.ERROR > Severity.WARNING > Severity.INFO
    assert [severity.label for severity in Severity] == ["info", "warning", "error", "critical"]


def test_another_label_and_other_words_can_be_configured() -> None:
    severities = SeverityMap(label="priority", levels={"critical": ["p1"], "info": ["p4"]})
    assert severities.of({"priority": "P1", "severity": "info"}) is Severity.CRITICAL
    assert severities.of({"priority": "p4"}) is Severity.INFO
    assert severities.of({"priority": "page"}) is Severity.WARNING
    assert severities.of({"priority": "critical"}) is Severity.CRITICAL


def test_configured_words_are_compared_without_case() -> None:
    assert SeverityMap(levels={"critical": ["P1"]}).of({"severity": "p1"}) is Severity.CRITICAL


def test_a_configured_word_goes_before_a_levels_own_name() -> None:
    assert SeverityMap(levels={"critical": ["error"]}).of({"severity": "error"}) is Severity.CRITICAL


def test_no_default_word_means_two_levels() -> None:
    words = [word for words in DEFAULT_LEVELS.values() for word in words] + [severity.label for severity in Severity]
    assert len(words) == len(set(words))
