"""Tries users' templates on example alerts, so that `relay check` finds their mistakes before an alert does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

from relay.channels import HttpOptions
from relay.channels.options import ChannelOptions
from relay.config import Loaded
from relay.rendering import Renderer
from relay.rendering.inspection import examples

_INLINE = ("title", "subject", "body")


def template_problems(loaded: Loaded) -> Iterator[str]:
    """Every template of the config that fails, as `FILE:LINE: …`: the files, then the short ones in the config."""
    failures: list[str] = []
    renderer = Renderer(loaded.config.templates, failures.append)
    yield from renderer.check()
    for name, options in loaded.config.channels.items():
        for key in _INLINE:
            source = getattr(options, key, None)
            wrong = _inline_problem(renderer, failures, source, options) if isinstance(source, str) else ""
            if wrong:
                yield str(loaded.problem(("channels", name, key), f"the template fails: {wrong}"))
            elif (
                key == "body" and isinstance(options, HttpOptions) and (said := _body_problem(renderer, name, options))
            ):
                yield str(loaded.problem(("channels", name, key), f"of an example alert {said}"))


def _body_problem(renderer: Renderer, name: str, options: HttpOptions) -> str:
    """Why such a request would never be sent, such as a value in JSON without quotes."""
    from relay.channels.http import HttpChannel

    channel = HttpChannel(name=name, options=options, renderer=renderer, session=cast(Any, None))  # nothing is sent
    return next((said for notice in examples() if (said := channel.render(notice).problem)), "")


def _inline_problem(renderer: Renderer, failures: list[str], source: str, options: ChannelOptions) -> str:
    wrong = renderer.check_inline(source)
    if wrong:
        return wrong
    failures.clear()
    for notice in examples():
        renderer.render_inline(source, notice, language=options.language, zone=options.zone)
    return "on an example alert; the log on stderr says why" if failures else ""
