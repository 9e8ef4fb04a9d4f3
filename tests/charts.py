"""Lints and renders a Helm chart and checks Kubernetes' objects, in a process of its own: Helm brings Go's runtime along."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests import programs

KUBERNETES = "1.35"
"""The version whose objects are meant."""
_FOREIGN = ("monitoring.coreos.com/",)
"""Kinds of others, whose shapes are not Kubernetes'."""


class ChartRefused(Exception):
    """What Helm said."""


def lint(chart: Path) -> list[str]:
    """What `helm lint` finds."""
    found: list[str] = _ask({"do": "lint", "chart": str(chart)})
    return found


def render(chart: Path, values: Mapping[str, Any], *, name: str = "relay") -> dict[str, dict[str, Any]]:
    """The objects by kind. Raises `ChartRefused`."""
    texts: dict[str, str] = _ask({"do": "render", "chart": str(chart), "values": values, "name": name})
    objects = [one for path, text in texts.items() if path.endswith(".yaml") for one in yaml.safe_load_all(text) if one]
    return {one["kind"]: one for one in objects}


def misshapen(objects: Sequence[Mapping[str, Any]]) -> list[str]:
    """What is wrong with these objects, by Kubernetes' own schemas; unknown fields are wrong, too."""
    own = [one for one in objects if not one["apiVersion"].startswith(_FOREIGN)]
    found: list[str] = _ask({"do": "validate", "objects": own, "version": KUBERNETES})
    return found


def _ask(question: Mapping[str, Any]) -> Any:
    environment = {**os.environ, "PYTHONPATH": str(programs.find_charts())}
    run = subprocess.run(
        [sys.executable, "-c", ANSWER], input=json.dumps(question), env=environment, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    if run.returncode == 3:
        raise ChartRefused(run.stderr)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


ANSWER = """
import json, sys

def answer(question):
    if question["do"] == "validate":
        import kubernetes_validate
        wrong = []
        for one in question["objects"]:
            try:
                kubernetes_validate.validate(one, question["version"], strict=True)
            except kubernetes_validate.ValidationError as error:
                wrong.append(f"{one['kind']}: {'.'.join(str(part) for part in error.path)}: {error.message}")
        return wrong
    import helm_python
    if question["do"] == "lint":
        found = helm_python.lint(question["chart"])
        worse = [one for one in found["messages"] if one["severity"] > 1]  # 1 recommends an icon
        return [str(one) for one in [*worse, *found["errors"]]]
    with helm_python.Chart.load(question["chart"]) as chart:
        chart.validate_schema(question["values"])
        return dict(chart.render(question["values"], name=question["name"], namespace="monitoring"))

try:
    json.dump(answer(json.load(sys.stdin)), sys.stdout)
except Exception as error:
    if "elm" not in type(error).__name__:
        raise
    print(error, file=sys.stderr)
    sys.exit(3)
"""
