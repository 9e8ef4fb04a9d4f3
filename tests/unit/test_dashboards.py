"""The dashboards: the files are what the code makes, and every query asks for what is really there."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import product
from urllib.parse import urlsplit

import promql_parser
import pytest
import yaml
from grafana_foundation_sdk.cog import plugins
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from grafana.build import DASHBOARDS, files
from grafana.source.board import TAG
from tests.boards import BOARDS, panels, promql
from tests.programs import ROOT
from tests.promql import faults, labels_made, parts, rules, series

PROVISIONING = ROOT / "grafana" / "provisioning"
UNITS = {value for value in vars(units).values() if isinstance(value, str)}
UIDS = {
    "relay-realtime",
    "relay-analytics",
    "callcenter-realtime",
    "callcenter-analytics",
    "samokoder-overview",
    "bgw-overview",
    "reflexio-v41",
    "dmarket-overview",
}
"""A promise to bookmarks, and to the rules' annotations."""

every_board = pytest.mark.parametrize("uid", BOARDS)


def test_the_files_are_what_the_code_makes() -> None:
    made = {str(path): text for path, text in files().items()}
    found = {str(path): path.read_text() for path in DASHBOARDS.glob("*/*.json")}
    different = [path for path in made.keys() | found.keys() if made.get(path) != found.get(path)]
    assert different == [], "run `make dashboards`"


@every_board
def test_grafanas_own_types_know_every_word_of_the_file(uid: str) -> None:
    plugins.register_default_plugins()
    read = json.loads(json.dumps(Dashboard.from_json(BOARDS[uid]), cls=JSONEncoder))
    assert list(lost(BOARDS[uid], read)) == []


def lost(before: object, after: object, place: str = "") -> Iterator[str]:
    """Where something of `before` is missing in `after` or different."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            yield from lost(value, after.get(key), f"{place}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, other, f"{place}/{number}")
    elif before != after:
        yield f"{place}: {before!r} became {after!r}"


def test_the_promised_dashboards_are_there() -> None:
    assert BOARDS.keys() == UIDS


@every_board
def test_a_dashboard_says_what_it_is_and_leads_to_the_others(uid: str) -> None:
    board = BOARDS[uid]
    assert board["uid"] == uid
    assert TAG in board["tags"]
    assert len(board["tags"]) > 1
    assert re.search("[А-яё]", board["description"])
    assert [(link["type"], link["tags"]) for link in board["links"]] == [("dashboards", [TAG])]
    assert not board["editable"]


@every_board
def test_every_panel_can_be_read_without_asking_anyone(uid: str) -> None:
    for panel in panels(uid):
        title, defaults = panel["title"], panel["fieldConfig"]["defaults"]
        assert re.fullmatch(r"[ -~]+", title), title
        assert re.search("[А-яё]{3}", panel["description"]), title
        assert panel["description"].endswith("."), title
        assert defaults["unit"] in UNITS or defaults["unit"].startswith("suffix:"), title
        assert defaults["thresholds"]["steps"], title
        assert defaults["thresholds"]["steps"][0]["value"] is None, title
    titles = [(panel["title"], panel["type"]) for panel in panels(uid)]
    assert len(titles) == len(set(titles))


@every_board
def test_panels_stand_side_by_side_and_rows_are_full(uid: str) -> None:
    places: dict[tuple[int, int], str] = {}
    for panel in BOARDS[uid]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24, panel["title"]
        for cell in product(range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])):
            assert cell not in places, f"{panel['title']} lies on {places[cell]}"
            places[cell] = panel["title"]
    assert len({panel["id"] for panel in BOARDS[uid]["panels"]}) == len(BOARDS[uid]["panels"])
    lines = {panel["gridPos"]["y"] for panel in BOARDS[uid]["panels"]}
    assert [y for y in lines if (23, y) not in places] == []


@every_board
def test_data_sources_are_chosen_at_the_top_of_the_dashboard(uid: str) -> None:
    variables = {one["name"]: one for one in BOARDS[uid]["templating"]["list"]}
    provisioned = {
        source["type"]
        for file in sorted((PROVISIONING / "datasources").glob("*.yml"))
        for source in yaml.safe_load(file.read_text())["datasources"]
    }
    asked = [panel["datasource"] for panel in panels(uid)]
    asked += [target["datasource"] for panel in panels(uid) for target in panel["targets"]]
    asked += [one["datasource"] for one in variables.values() if "datasource" in one]
    for source in asked:
        variable = variables[source["uid"].removeprefix("${").removesuffix("}")]
        assert variable["type"] == "datasource"
        assert variable["query"] == source["type"]
        assert source["type"] in provisioned


@every_board
def test_every_query_asks_for_series_that_exist(uid: str) -> None:
    found = [f"{title}: {fault}" for title, target in promql(uid) for fault in faults(target["expr"])]
    assert found == []


def labels_left(expr: promql_parser.Expr) -> set[str]:
    """Those that an aggregation keeps; without one, all that the metrics have."""
    asked = list(parts(expr))
    if any(isinstance(part, promql_parser.AggregateExpr) for part in asked):
        return labels_made(expr)
    names = [part.name or "" for part in asked if isinstance(part, promql_parser.VectorSelector)]
    return {label for name in names for one in series()[name] for label in one}


@every_board
def test_legends_name_labels_that_their_query_keeps(uid: str) -> None:
    for title, target in promql(uid):
        named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
        assert named <= labels_left(promql_parser.parse(target["expr"])), title


@every_board
def test_lists_at_the_top_are_filled_from_metrics_that_exist(uid: str) -> None:
    for variable in BOARDS[uid]["templating"]["list"]:
        query = variable.get("query")
        if variable["type"] == "query" and isinstance(query, dict):
            asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query["query"])
            assert asked, query
            assert faults(f"sum by ({asked[2]}) ({asked[1]})") == []


@every_board
def test_alerts_named_in_descriptions_exist(uid: str) -> None:
    service = uid.partition("-")[0]
    alerts = {rule["alert"] for rule in rules() if rule.get("labels", {}).get("service") == service}
    for panel in panels(uid):
        named = re.findall(r"\b(?:[A-Z][a-z]+|API|LLM|CPU|STT|TTS)(?:[A-Z][a-zA-Z]+)+", panel["description"])
        assert set(named) - {"CoVe", "PostgreSQL"} <= alerts, panel["title"]


def test_alerts_lead_to_dashboards_that_exist() -> None:
    leading = {
        rule["annotations"]["dashboard_url"] for rule in rules() if "dashboard_url" in rule.get("annotations", {})
    }
    assert {urlsplit(url).path.removeprefix("/d/").partition("/")[0] for url in leading} <= BOARDS.keys()
    assert len(leading) >= 6


def test_every_system_has_a_dashboard_that_shows_its_firing_alerts() -> None:
    shown = {
        service
        for uid in BOARDS
        for _, target in promql(uid)
        for service in re.findall(r'ALERTS{service="(\w+)"', target["expr"])
    }
    assert shown >= {"relay", "callcenter", "samokoder", "bgw", "reflexio", "dmarket"}


def test_every_metric_of_the_relay_is_drawn_somewhere() -> None:
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in series() if name.startswith("relay_")}
    drawn = " ".join(target["expr"] for _, target in promql("relay-realtime"))
    assert [family for family in families if family not in drawn] == []


def test_grafana_finds_the_files_where_compose_puts_them() -> None:
    mounts = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["grafana"]["volumes"]
    inside = next(mount.split(":")[1] for mount in mounts if mount.startswith("./grafana/provisioning:"))
    providers = yaml.safe_load((DASHBOARDS / "providers.yml").read_text())["providers"]
    folders = {provider["options"]["path"] for provider in providers}
    assert folders == {f"{inside}/dashboards/{path.parent.name}" for path in DASHBOARDS.glob("*/*.json")}


def test_every_rule_asks_for_series_that_exist() -> None:
    found = {f"{rule.get('alert') or rule['record']}: {fault}" for rule in rules() for fault in faults(rule["expr"])}
    assert found == set()


@pytest.mark.parametrize(
    ("expr", "fault"),
    [
        ("sum(rate(calls_counted[5m]))", "no metric calls_counted"),
        ('relay_alerts{gravity="critical"}', "relay_alerts has no label gravity"),
        ('relay_alerts{severity="fatal"}', 'no series matches relay_alerts{severity="fatal"}'),
        ("sum by (chat) (relay_dead_letters)", "no metric has a label chat"),
        ("rate(calls_total)", "rate(calls_total): expected type matrix in call to function 'rate', got vector"),
    ],
)
def test_a_query_for_what_does_not_exist_is_named(expr: str, fault: str) -> None:
    assert faults(expr) == [fault]
