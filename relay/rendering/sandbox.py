"""The Jinja2 environment for templates of users: no way to the machine, and no template that never ends."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal, cast

from jinja2 import BaseLoader, ChainableUndefined, nodes, pass_context
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from relay.notification import AlertView, Changes, IncidentView, Notice
from relay.rendering.scene import Stage, TooMuchWork
from relay.rendering.words import Words

Escape = Literal["html", "mrkdwn", "none"]

_HARMLESS = frozenset({Notice, IncidentView, AlertView, Changes, Words})
_TICK = "_relay_tick"
_SIZED = "_relay_sized"
_PADDING = frozenset({"center", "ljust", "rjust", "zfill", "expandtabs", "indent", "tojson", "batch", "slice"})
_CALL_COST = 10  # a macro takes ten times as long as a turn of a loop
_MISSING = object()
_WIDEST = 100_000
_WIDE_FIELD = re.compile(r"[0-9]{6}|\*")
_LARGEST_POWER = 64


class _Counted:
    """An iterable whose every item costs a step; its length stays known for `loop.length` and `loop.last`."""

    def __init__(self, items: Iterable[Any], stage: Stage) -> None:
        self._items = items
        self._budget = stage.now.budget

    def __iter__(self) -> Iterator[Any]:
        for item in self._items:
            self._budget.step()
            yield item

    def __len__(self) -> int:
        return len(self._items)  # type: ignore[arg-type]  # LoopContext expects a TypeError from what has no length


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """Jinja2's sandbox, with every loop, call and filter counted and every text it makes limited (`Budget`).

    Missing names, attributes and their attributes are empty texts. Rendering is only possible on a `Stage`.
    """

    intercepted_binops = frozenset({"*", "**", "+", "%"})

    def __init__(self, loader: BaseLoader, stage: Stage, *, autoescape: bool) -> None:
        super().__init__(
            loader=loader,
            autoescape=autoescape,
            undefined=ChainableUndefined,
            extensions=["jinja2.ext.i18n", "jinja2.ext.do", "jinja2.ext.loopcontrols"],
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            optimized=False,
            cache_size=400,
        )
        self._stage = stage
        self.globals.pop("lipsum", None)
        self.filters[_TICK] = lambda items: _Counted(items, stage)
        self.filters[_SIZED] = self._sized_at_run_time
        for name in ("center", "indent", "tojson", "batch", "slice", "replace", "format"):
            self._watch(name)

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001, FBT002  Jinja2's
    ) -> str:
        """Compiles with each loop counted, and each joined or filtered text measured."""
        for loop in list(source.find_all(nodes.For)):
            loop.iter = _through(_TICK, loop.iter)
        _wrap_texts(source)
        return super()._generate(source, name, filename, defer_init)

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Spares our own values the sandbox's long look: they are frozen and have nothing to hide but `_` names."""
        if type(obj) in _HARMLESS and not attribute.startswith("_"):
            found = getattr(obj, attribute, _MISSING)
            return self.undefined(obj=obj, name=attribute) if found is _MISSING else found
        return super().getattr(obj, attribute)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        self._stage.now.budget.step(_CALL_COST)
        method = getattr(obj, "__wrapped__", obj)  # the sandbox wraps str.format
        owner = getattr(method, "__self__", None)
        if isinstance(owner, str):
            self._check_growth(getattr(method, "__name__", ""), owner, *args, *kwargs.values())
        return self._sized(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if operator == "%" and isinstance(left, str):
            self._check_growth("format", left)
        elif operator == "**" and isinstance(right, int) and abs(right) > _LARGEST_POWER:
            raise TooMuchWork(f"a power above {_LARGEST_POWER}")
        elif operator == "*":
            for text, times in ((left, right), (right, left)):
                if isinstance(text, str | list | tuple) and isinstance(times, int):
                    self._stage.now.budget.check_size(len(text) * times)
        return self._sized(super().call_binop(context, operator, left, right))

    def _sized(self, value: Any) -> Any:
        budget = self._stage.now.budget
        budget.step()
        if isinstance(value, str | list | tuple | dict):
            budget.check_size(len(value))
        return value

    @pass_context
    def _sized_at_run_time(self, _context: Context, value: Any) -> Any:
        """Asks for the context so that Jinja2 computes no filter of constants once and for all languages and times."""
        return self._sized(value)

    def _check_growth(self, method: str, text: str, *args: Any) -> None:
        """Stops what can make much out of little (`"x".center(10**9)`) before the memory is taken."""
        budget = self._stage.now.budget
        if method in _PADDING and any(isinstance(arg, int) and arg > _WIDEST for arg in args):
            raise TooMuchWork(f"a text padded to more than {_WIDEST:,} characters")
        wide = any(isinstance(arg, int) and arg > _WIDEST for arg in args) and "{:{" in text
        if method in ("format", "format_map") and (wide or _WIDE_FIELD.search(text)):
            raise TooMuchWork(f"a field padded to more than {_WIDEST:,} characters")
        if method == "replace" and len(args) > 1:
            old, new = str(args[0]), str(args[1])
            budget.check_size(len(text) + text.count(old) * len(new))
        if method == "join" and args and isinstance(args[0], list | tuple):
            budget.check_size(len(text) * len(args[0]))

    def _watch(self, name: str) -> None:
        """Lets a filter of Jinja2 that can pad or repeat refuse what `_check_growth` refuses."""
        plain = self.filters[name]

        @functools.wraps(plain)  # keeps the mark that asks for the environment as first argument
        def watched(*args: Any, **kwargs: Any) -> Any:
            texts = [position for position, arg in enumerate(args) if isinstance(arg, str)]
            first = texts[0] if texts else len(args)
            text = args[first] if texts else ""
            self._check_growth(name, text, *args[first + 1 :], *kwargs.values())
            return plain(*args, **kwargs)

        self.filters[name] = watched


def _through(name: str, node: nodes.Node) -> nodes.Filter:
    return nodes.Filter(cast("nodes.Expr", node), name, [], [], None, None, lineno=node.lineno)


def _wrap_texts(parent: nodes.Node) -> None:
    for field, value in parent.iter_fields():
        if isinstance(value, nodes.Node):
            _wrap_texts(value)
            if _makes_text(value):
                setattr(parent, field, _through(_SIZED, value))
        elif isinstance(value, list):
            for position, item in enumerate(value):
                if isinstance(item, nodes.Node):
                    _wrap_texts(item)
                    if _makes_text(item):
                        value[position] = _through(_SIZED, item)


def _makes_text(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Filter):
        return node.node is not None and node.name not in (_TICK, _SIZED)
    return isinstance(node, nodes.Concat)
