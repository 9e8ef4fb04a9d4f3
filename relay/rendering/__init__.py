"""Turns notices into texts with Jinja2: users' templates first, the built-in ones when those fail."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from zoneinfo import ZoneInfo

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    FileSystemLoader,
    PrefixLoader,
    Template,
    TemplateError,
    TemplateSyntaxError,
)

from relay import logs
from relay.notification import Notice
from relay.rendering.filters import natural_filters
from relay.rendering.gofunctions import go_filters, go_globals
from relay.rendering.inspection import examples, problems_of, unknown_name
from relay.rendering.sandbox import BoundedEnvironment, Escape
from relay.rendering.scene import TEXT_LIMIT, TEXT_PER_ALERT, Budget, Scene, Stage
from relay.rendering.translations import load_translations
from relay.rendering.words import Words

__all__ = ["Escape", "Renderer", "builtin_templates"]

_INLINE_CACHE = 256
_PLAIN_TEXTS = (".txt.j2", ".json.j2")
_log = logs.get("rendering")


def builtin_templates() -> Path:
    """The folder of the built-in templates: inside of the package when installed, else that of the checkout."""
    package = Path(__file__).parent.parent
    installed = package / "templates"
    return installed if installed.is_dir() else package.parent / "templates"


def _ignore(template_type: str) -> None:
    """Nobody counts."""


class Renderer:
    """Renders templates by their path below `templates/`; threads may share it.

    A file of that path in `overrides` goes before the built-in one. Whatever goes wrong in it, `on_fallback` is told the
    type (`telegram`) and the built-in one is rendered. `builtin/telegram/message.html.j2` is always the built-in one.
    """

    def __init__(self, overrides: Path | None = None, on_fallback: Callable[[str], None] = _ignore) -> None:
        builtin = FileSystemLoader(builtin_templates())
        named = PrefixLoader({"builtin": builtin})
        self._overrides = overrides
        self._on_fallback = on_fallback
        self._stage = Stage()
        self._builtin = self._environments(ChoiceLoader([named, builtin]))
        self._preferred = (
            self._builtin
            if overrides is None
            else self._environments(ChoiceLoader([named, FileSystemLoader(overrides), builtin]))
        )
        self._inline: dict[tuple[str, bool], Template] = {}
        self._languages = {language: load_translations(language) for language in ("en", "ru")}

    def render(
        self,
        template: str,
        notice: Notice,
        *,
        language: str,
        zone: ZoneInfo,
        escape: Escape,
        options: Mapping[str, object] | None = None,
        enough: int | None = None,
    ) -> str:
        """The template's text, or its beginning: after so many characters that are `enough` the rest is not rendered.

        Raises only if the built-in template is missing or faulty, which is our own mistake.
        """
        show = functools.partial(self._show, notice, language, zone, escape, options or {}, enough=enough)
        if self._preferred is not self._builtin:
            try:
                return show(lambda: self._preferred[escape != "none"].get_template(template))
            except Exception as error:  # noqa: BLE001  whatever a user's template raises must not cost the alert
                self._fell_back(template.partition("/")[0], template, error)
        return show(lambda: self._builtin[escape != "none"].get_template(template))

    def render_inline(
        self, source: str, notice: Notice, *, language: str, zone: ZoneInfo, escape: Escape = "none"
    ) -> str:
        """A short template of the config, such as a subject; "" if it fails, which counts as a fallback of `inline`."""
        try:
            return self._show(notice, language, zone, escape, {}, lambda: self._compiled(source, escape != "none"))
        except Exception as error:  # noqa: BLE001  the same
            self._fell_back("inline", source, error)
            return ""

    def prepare(self, types: Collection[str]) -> None:
        """Compiles the templates of these types, which takes some 20 ms each: the first alert need not wait for them.

        What cannot be compiled is left to `render`, which tells of it.
        """
        for escaping, environment in self._preferred.items():
            for name in environment.list_templates():
                if name.partition("/")[0] in types and name.endswith(_PLAIN_TEXTS) is not escaping:
                    with contextlib.suppress(TemplateError, OSError, UnicodeError):
                        environment.get_template(name)

    def check(self) -> list[str]:
        """`FILE:LINE: what is wrong` of each template in `overrides`; empty if all is well. Counts no fallback."""
        if self._overrides is None:
            return []
        tries = (functools.partial(self._try, environments) for environments in (self._preferred, self._builtin))
        builtin = dict.fromkeys(self._builtin[True].list_templates(filter_func=lambda name: name[:8] != "builtin/"))
        return problems_of(self._overrides, self._preferred[True], builtin, *tries)

    def check_inline(self, source: str) -> str:
        """What is wrong with a short template of the config; "" if nothing."""
        try:
            self._compiled(source, escaping=False)
        except TemplateSyntaxError as error:
            return str(error.message)
        environment = self._preferred[False]
        scene = Scene(notice=next(examples()), language="en", zone=ZoneInfo("UTC"), texts=self._languages["en"])
        return unknown_name(source, environment, [*_context(scene, {}), *environment.globals])

    def _try(
        self,
        environments: Mapping[bool, BoundedEnvironment],
        name: str,
        notice: Notice,
        escape: Escape,
        options: Mapping[str, object],
    ) -> None:
        zone = ZoneInfo("UTC")
        self._show(notice, "en", zone, escape, options, lambda: environments[escape != "none"].get_template(name))

    def _show(
        self,
        notice: Notice,
        language: str,
        zone: ZoneInfo,
        escape: Escape,
        options: Mapping[str, object],
        find: Callable[[], Template],
        enough: int | None = None,
    ) -> str:
        limit = max(TEXT_LIMIT, TEXT_PER_ALERT * len(notice.view.alerts))
        texts = self._languages.get(language) or self._languages["en"]
        scene = Scene(notice=notice, language=language, zone=zone, texts=texts, budget=Budget(text=limit))
        outer, self._stage.scene = self._stage.scene, scene
        try:
            pieces, size = [], 0
            for piece in find().generate(_context(scene, options)):
                size += len(piece)
                scene.budget.check_size(size)
                pieces.append(piece)
                if enough is not None and size >= enough:
                    break
        finally:
            self._stage.scene = outer
        text = "".join(pieces)
        if escape == "mrkdwn":  # Slack decodes &amp; &lt; &gt; alone
            text = text.replace("&#34;", '"').replace("&#39;", "'")
        return text

    def _environments(self, loader: BaseLoader) -> dict[bool, BoundedEnvironment]:
        """One that escapes and one that does not."""
        return {escaping: self._environment(loader, escaping) for escaping in (True, False)}

    def _environment(self, loader: BaseLoader, escaping: bool) -> BoundedEnvironment:  # noqa: FBT001  private
        environment = BoundedEnvironment(loader, self._stage, autoescape=escaping)
        environment.filters |= go_filters(self._stage) | natural_filters(self._stage)
        environment.globals |= go_globals(self._stage)
        stage = self._stage
        environment.install_gettext_callables(  # type: ignore[attr-defined]  # added by the i18n extension
            lambda text: stage.now.texts.gettext(text),  # noqa: PLW0108  the scene is another at each call
            lambda one, many, count: stage.now.texts.ngettext(one, many, count),  # noqa: PLW0108
            newstyle=True,
        )
        return environment

    def _compiled(self, source: str, escaping: bool) -> Template:  # noqa: FBT001  private
        key = (source, escaping)
        template = self._inline.get(key)
        if template is None:
            template = self._preferred[escaping].from_string(source)
            if len(self._inline) < _INLINE_CACHE:
                self._inline[key] = template
        return template

    def _fell_back(self, template_type: str, template: str, error: Exception) -> None:
        _log.warning("template_failed", template=template[:200], error=f"{type(error).__name__}: {error}"[:500])
        self._on_fallback(template_type)


def _context(scene: Scene, options: Mapping[str, object]) -> dict[str, object]:
    view, words = scene.notice.view, Words(scene)
    return {
        "notice": scene.notice,
        "view": view,
        "alerts": view.alerts,
        "firing": view.firing,
        "resolved": view.resolved,
        "changes": scene.notice.changes,
        "labels": words.labels,
        "annotations": words.annotations,
        "group_labels": view.group_labels,
        "severity": view.severity,
        "external_url": view.external_url,
        "options": options,
        "words": words,
    }
