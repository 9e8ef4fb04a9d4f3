from __future__ import annotations

import time
from typing import Any

import pytest
from pydantic import ValidationError

from relay.routing import RouteConfig, Router
from relay.severity import SeverityMap


def router(*routes: dict[str, Any], severity: SeverityMap | None = None) -> Router:
    configs = [RouteConfig.model_validate({"channels": ["chat"]} | route) for route in routes]
    return Router(configs, severity or SeverityMap())


def route(subject: Router, receiver: str = "relay", alertmanager: str = "main", **labels: str) -> dict[str, bool]:
    return subject.route(labels, receiver=receiver, alertmanager=alertmanager)


def explain(
    subject: Router, receiver: str = "relay", alertmanager: str = "main", **labels: str
) -> list[tuple[str, str]]:
    traces = subject.explain(labels, receiver=receiver, alertmanager=alertmanager)
    assert [trace.number for trace in traces] == list(range(1, len(traces) + 1))
    return [(trace.outcome, trace.why) for trace in traces]


def test_the_first_route_that_matches_wins() -> None:
    subject = router({"matchers": ['a="1"'], "channels": ["x", "y"]}, {"matchers": ['a=~".+"'], "channels": ["z"]})
    assert route(subject, a="1") == {"x": False, "y": False}
    assert route(subject, a="2") == {"z": False}
    assert route(subject) == {}


def test_continue_adds_the_channels_of_later_routes() -> None:
    subject = router(
        {"matchers": ['a="1"'], "channels": ["x"], "continue": True},
        {"matchers": ['b="1"'], "channels": ["y"]},
        {"channels": ["z"]},
    )
    assert route(subject, a="1") == {"x": False, "z": False}
    assert route(subject, a="1", b="1") == {"x": False, "y": False}


def test_all_matchers_of_a_route_must_hold_wherever_they_are_written() -> None:
    subject = router({"matchers": ['a="1", b="2"', 'c!="3"']})
    assert route(subject, a="1", b="2") == {"chat": False}
    assert route(subject, a="1", b="2", c="3") == {}
    assert route(subject, a="1") == {}


def test_receiver_and_alertmanager_are_compared_whole() -> None:
    subject = router({"receiver": "team.a", "alertmanager": "main"})
    assert route(subject, receiver="team.a") == {"chat": False}
    assert route(subject, receiver="teamXa") == {}
    assert route(subject, receiver="team.a", alertmanager="other") == {}


def test_a_channel_is_silent_only_if_every_route_that_chose_it_is() -> None:
    subject = router(
        {"channels": ["both", "quiet"], "silent": True, "continue": True},
        {"matchers": ['a="1"'], "channels": ["both"], "continue": True},
        {"channels": ["both"], "silent": True},
    )
    assert route(subject, a="1") == {"both": False, "quiet": True}
    assert route(subject) == {"both": True, "quiet": True}


@pytest.mark.parametrize(
    ("matcher", "value", "matched"),
    [
        ('severity="critical"', "page", True),
        ('severity="critical"', "critical", True),
        ('severity="critical"', "warning", False),
        ('severity="page"', "page", True),
        ('severity="page"', "critical", False),
        ('severity="warning"', None, True),
        ('severity="warning"', "purple", True),
        ('severity=""', None, True),
        ('severity=""', "page", False),
        ('severity=~"error|critical"', "major", True),
        ('severity=~"crit.*"', "Disaster", True),
        ('severity!="critical"', "page", False),
        ('severity!="page"', "page", False),
        ('severity!="page"', "critical", True),
        ('severity!="warning"', None, False),
        ('severity!~"info|none"', "none", False),
        ('severity!~"info|none"', "low", False),
        ('severity!~"info"', "error", True),
    ],
)
def test_a_severity_matches_by_its_word_or_by_its_level(matcher: str, value: str | None, matched: bool) -> None:
    labels = {} if value is None else {"severity": value}
    assert route(router({"matchers": [matcher]}), **labels) == ({"chat": False} if matched else {})


def test_the_configured_severity_label_is_the_one_that_has_levels() -> None:
    subject = router({"matchers": ['priority="critical"']}, severity=SeverityMap("priority", {"critical": ["p1"]}))
    assert route(subject, priority="p1") == {"chat": False}
    assert route(subject, severity="critical") == {}
    other = router({"matchers": ['severity="critical"']}, severity=SeverityMap("priority", {"critical": ["p1"]}))
    assert route(other, severity="page") == {}


def test_a_route_without_channels_takes_alerts_out() -> None:
    subject = router({"matchers": ['alertname="Watchdog"'], "channels": []}, {"channels": ["chat"]})
    assert route(subject, alertname="Watchdog") == {}
    assert route(subject, alertname="Other") == {"chat": False}


def test_no_route_means_no_channel() -> None:
    assert route(router()) == {}


def test_an_answer_is_the_callers_own() -> None:
    subject = router({})
    route(subject)["other"] = True
    assert route(subject) == {"chat": False}


def test_remembered_verdicts_never_mix_up_alerts() -> None:
    subject = router(
        {"matchers": ['a="1"'], "receiver": "r1", "channels": ["x"]},
        {"matchers": ['b="1"'], "alertmanager": "am1", "channels": ["y"]},
    )
    cases = [
        ({"a": "1"}, "r1", "am1", {"x"}),
        ({"b": "1"}, "r1", "am1", {"y"}),
        ({"a": "1"}, "am1", "r1", set()),
        ({"b": "1"}, "am1", "r1", set()),
        ({"a": "", "b": "1"}, "", "am1", {"y"}),
    ]
    for labels, receiver, alertmanager, channels in [*cases, *reversed(cases)]:
        assert set(subject.route(labels, receiver=receiver, alertmanager=alertmanager)) == channels


def test_ever_new_label_values_do_not_fill_the_memory() -> None:
    subject = router({"matchers": ['pod=~"a.*"']})
    for number in range(25_000):
        assert bool(route(subject, pod=f"{'ab'[number % 2]}-{number}")) is (number % 2 == 0)
    assert len(subject._verdicts) <= 10_000
    assert all(len(one.fitting) <= 10_000 for each in subject._routes for one in each.conditions)


def test_five_thousand_alerts_are_routed_at_once() -> None:
    subject = router(
        {"matchers": ['severity="critical"'], "continue": True},
        {"matchers": ['instance=~"db-[0-4].*"', 'job!="x"'], "continue": True},
        {"matchers": ['team="x"'], "receiver": "web"},
        {"matchers": ['env!~"dev|test"'], "continue": True},
        {"silent": True},
    )
    alerts = [{"severity": ["page", "low"][n % 2], "instance": f"db-{n}", "env": "prod"} for n in range(5_000)]
    began = time.process_time()
    for labels in alerts:
        subject.route(labels, receiver="relay", alertmanager="main")
    assert time.process_time() - began < 0.5  # ten times what it takes, for slow machines


def test_an_explanation_says_why_in_words() -> None:
    subject = router(
        {"matchers": ['severity="critical"', 'env="prod"']},
        {"matchers": ['instance=~"db-.*"', 'team!="a"'], "receiver": "web"},
        {"matchers": ['severity!~"critical|error"'], "continue": True},
        {"alertmanager": "main"},
        {"channels": ["mail"]},
    )
    assert explain(subject, severity="page", team="a") == [
        ("not matched", 'env is missing, which is not "prod"'),
        (
            "not matched",
            'receiver "relay" is not "web"; instance is missing, which does not match "db-.*"; team="a" is excluded by !="a"',
        ),
        ("not matched", 'severity="page" (level critical) is excluded by !~"critical|error"'),
        ("matched", 'alertmanager "main"'),
        ("skipped", "route 4 matched before and does not say continue: true"),
    ]
    assert explain(subject, severity="info", env="prod")[0] == ("not matched", 'severity="info" is not "critical"')
    assert explain(subject, severity="page", env="prod")[0] == (
        "matched",
        'severity="page" (level critical); env="prod"',
    )
    assert explain(subject, alertmanager="b")[2:] == [
        ("matched", 'severity is missing (level warning), which does not match "critical|error"'),
        ("not matched", 'alertmanager "b" is not "main"'),
        ("matched", "no conditions, takes every alert"),
    ]


def test_an_explanation_stays_on_one_line_whatever_a_label_holds() -> None:
    ((_, why),) = explain(router({"matchers": ['a="x"']}), a="line\nbreak" + "é" * 500)
    assert "\n" not in why
    assert len(why) < 120


def test_an_explanation_agrees_with_the_verdict() -> None:
    subject = router(
        {"matchers": ['a="1"'], "channels": ["r1"], "continue": True},
        {"matchers": ['severity!="critical"'], "channels": ["r2"]},
        {"matchers": ['b=~"x|"'], "channels": ["r3"], "continue": True},
        {"channels": ["r4"]},
    )
    for a in ("", "1"):
        for severity in ("", "page", "low"):
            for b in ("", "x", "y"):
                outcomes = explain(subject, a=a, severity=severity, b=b)
                matched = {
                    f"r{number}" for number, (outcome, _) in enumerate(outcomes, start=1) if outcome == "matched"
                }
                assert matched == set(route(subject, a=a, severity=severity, b=b))


@pytest.mark.parametrize(
    ("values", "place", "hint"),
    [
        ({"matchers": ["severity"]}, ("matchers", 0), 'severity="value"'),
        ({"matchers": ['a="b"', 'c=~"("']}, ("matchers", 1), "missing )"),
        ({"matchers": [""]}, ("matchers", 0), "match everything"),
        ({"matchers": 'a="b"'}, ("matchers",), "list"),
        ({"channels": [""]}, ("channels", 0), "at least 1"),
        ({"matcher": ['a="b"']}, ("matcher",), "did you mean matchers"),
        ({"receiver": ""}, ("receiver",), "at least 1"),
    ],
)
def test_a_bad_route_is_refused_at_its_place(values: dict[str, Any], place: tuple[Any, ...], hint: str) -> None:
    with pytest.raises(ValidationError) as caught:
        RouteConfig.model_validate({"channels": ["chat"]} | values)
    (error,) = caught.value.errors()
    assert error["loc"] == place
    assert hint in error["msg"]


def test_a_route_must_name_its_channels() -> None:
    with pytest.raises(ValidationError, match="channels"):
        RouteConfig.model_validate({"matchers": ['a="b"']})
