"""Whatever stands in relay.yml, the answer is a config or a list of errors with lines, never a traceback."""

from __future__ import annotations

import copy
import functools
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from relay.config import ConfigError, Problem, load
from tests.config_files import EXAMPLE, SECRETS

SOURCE = EXAMPLE.read_text(encoding="utf-8")
TREE: Any = yaml.safe_load(SOURCE)
PIECES = [
    *("{", "}", "[", "]", ": ", "- ", "? ", "#", "&a ", "*a", "!x ", "|", ">", "'", '"', "<<: ", "---\n", "%", "@"),
    *("${", "${X}", "$${", "\n", "  ", "\t", "\x00", "é", "\ud83d", "0", "null", "~"),
]


def outcome(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "relay.yml"
        path.write_bytes(data)
        problems: tuple[Problem, ...] | None = None
        try:
            load(path, SECRETS)
        except ConfigError as error:
            problems = error.problems
        assert problems is None or problems
        for problem in problems or ():
            assert problem.line is not None
            assert 1 <= problem.line <= data.count(b"\n") + data.count(b"\r") + 2
            assert problem.message
            assert str(problem).startswith(f"{path}:{problem.line}: ")
            assert not any(secret in str(problem) for secret in SECRETS.values())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_config_or_errors_with_lines(data: bytes) -> None:
    outcome(data)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_mutation_of_the_example_is_a_config_or_errors_with_lines(data: st.DataObject) -> None:
    text = SOURCE
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = start + data.draw(st.sampled_from([0, 0, 1, 2, 5, 40]))
        text = text[:start] + data.draw(st.sampled_from(PIECES)) + text[end:]
    outcome(text.encode("utf-8", "surrogatepass"))


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["telegram", "slack", "a", "1h", "/"])
)
KEYS = {"type", "name", "url", "bot_token", "channels", "fallback", "matchers", "auth", "bearer_token_file"}
keys = st.sampled_from(sorted(set(TREE) | KEYS))
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(keys, trees, max_size=8))
def test_any_tree_of_our_keys_is_a_config_or_errors_with_lines(tree: dict[str, Any]) -> None:
    outcome(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))


@functools.cache
def places() -> list[tuple[str | int, ...]]:
    """The path of every value of the example."""
    found: list[tuple[str | int, ...]] = []

    def walk(value: Any, path: tuple[str | int, ...]) -> None:
        found.append(path)
        items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, item in items:
            walk(item, (*path, key))

    walk(TREE, ())
    return found[1:]


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_value_in_any_place_of_the_example_is_a_config_or_errors_with_lines(data: st.DataObject) -> None:
    tree = copy.deepcopy(TREE)
    *path, last = data.draw(st.sampled_from(places()))
    inner = tree
    for part in path:
        inner = inner[part]
    inner[last] = data.draw(trees)
    outcome(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass"))
