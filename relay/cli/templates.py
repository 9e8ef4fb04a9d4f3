"""Tries users' templates on example alerts, so that `relay check` finds their mistakes before an alert does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from jinja2 import TemplateSyntaxError

from relay.channels.options import ChannelOptions
from relay.cli.preview import every_notice, example_message, first_notice
from relay.clock import system_clock
from relay.config import Config, Loaded, Problem
from relay.notification import Notice
from relay.rendering import Renderer, builtin_templates

_INLINE = ("title", "subject", "body")


class _Trial(Renderer):
    """A renderer that keeps the errors which the real one survives."""

    def __init__(self, overrides: Path | None) -> None:
        super().__init__(overrides)
        self.errors: list[Exception] = []

    def _fell_back(self, template_type: str, template: str, error: Exception) -> None:  # noqa: ARG002  the base's
        self.errors.append(error)

    def trouble(self, render: Callable[[], str]) -> Exception | None:
        """The first error of this rendering."""
        self.errors.clear()
        render()
        return self.errors[0] if self.errors else None


def template_problems(loaded: Loaded) -> Iterator[Problem]:
    """Every template of the config that fails, with its file and line."""
    config = loaded.config
    notices = _examples(config)
    yield from _failing_files(config.templates, notices)
    for name, options in config.channels.items():
        for field in _INLINE:
            source = getattr(options, field, None)
            error = _failing_inline(source, options, notices) if isinstance(source, str) else None
            if error is not None:
                yield loaded.problem(("channels", name, field), _reason(error))


def _failing_inline(source: str, options: ChannelOptions, notices: Sequence[Notice]) -> Exception | None:
    trial = _Trial(None)

    def render(notice: Notice) -> str:
        return trial.render_inline(source, notice, language=options.language, zone=options.zone)

    return next((error for notice in notices if (error := trial.trouble(partial(render, notice)))), None)


def unused_templates(config: Config) -> Iterator[Problem]:
    """A warning for each file that replaces no built-in template, probably through a typing error."""
    if config.templates is None:
        return
    known = sorted(_templates(builtin_templates()))
    for name in sorted(set(_templates(config.templates)) - set(known)):
        close = get_close_matches(name, known, n=1)
        meant = f"; did you mean {close[0]}" if close else ""
        yield Problem(
            f"replaces no built-in template{meant}; fine if another file includes it", file=str(config.templates / name)
        )


def _examples(config: Config) -> Sequence[Notice]:
    now = system_clock()
    notice = first_notice(example_message(now), now, alertmanager="main", severities=config.severity.severity_map())
    assert notice is not None  # everything is shown
    return every_notice(notice)


def _templates(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*"):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path.relative_to(folder).as_posix()


def _failing_files(folder: Path | None, notices: Sequence[Notice]) -> Iterator[Problem]:
    if folder is None:
        return
    trial = _Trial(folder)

    def render(name: str, notice: Notice) -> str:
        return trial.render(name, notice, language="en", zone=ZoneInfo("UTC"), escape=_escape(name))

    for name in sorted(set(_templates(folder)) & set(_templates(builtin_templates()))):
        for notice in notices:
            error = trial.trouble(partial(render, name, notice))
            if error is not None:
                yield Problem(_reason(error), file=str(folder / name), line=_line(error, folder / name))
                break


def _escape(name: str) -> Literal["html", "mrkdwn", "none"]:
    return "mrkdwn" if name.startswith("slack/") else "html" if ".html" in name else "none"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return f"the template fails: {text}"


def _line(error: Exception, path: Path) -> int | None:
    """Jinja2 rewrites tracebacks so that they show the template's own lines."""
    if isinstance(error, TemplateSyntaxError) and error.filename in (None, str(path)):
        return error.lineno
    line, trace = None, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(path):
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
