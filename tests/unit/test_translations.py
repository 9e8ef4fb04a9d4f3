"""Every English text of templates and code has a complete Russian twin, and no twin has lost its English text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po

from relay.rendering import builtin_templates
from relay.rendering.translations import LOCALE, load_translations

PACKAGE = LOCALE.parent
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2)}
JINJA = {"**.j2": {"extensions": "jinja2.ext.do,jinja2.ext.loopcontrols", "trim_blocks": "true", "silent": "false"}}
PLACEHOLDER = re.compile(r"%\((\w+)\)s|\{(\w*)\}")


def written(folder: Path, pattern: str, method: str) -> Iterator[tuple[str | tuple[str, ...], str]]:
    options = JINJA if method == "jinja2" else {}
    for name, line, texts, _, _ in extract_from_dir(folder, [(pattern, method)], options, KEYWORDS):
        yield texts, f"{name}:{line}"


def english() -> dict[str | tuple[str, ...], str]:
    return {
        **dict(written(builtin_templates(), "**.j2", "jinja2")),
        **dict(written(PACKAGE, "**.py", "python")),
    }


def russian() -> Catalog:
    with (LOCALE / "ru" / "LC_MESSAGES" / "relay.po").open("rb") as source:
        return read_po(source, locale="ru")


def texts_of(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def placeholders(text: str) -> set[str]:
    return {found[0] for found in PLACEHOLDER.finditer(text)}


def test_every_text_has_a_russian_one_in_all_plural_forms() -> None:
    catalogue = russian()
    missing = []
    for texts, place in english().items():
        message = catalogue.get(texts if isinstance(texts, str) else texts[0])
        forms = 1 if isinstance(texts, str) else 3
        if message is None or [bool(text) for text in texts_of(message)] != [True] * forms:
            missing.append(f"{place}: {texts}")
    assert not missing


def test_no_russian_text_is_left_over() -> None:
    used = {texts if isinstance(texts, str) else texts[0] for texts in english()}
    ours = {message.id if isinstance(message.id, str) else message.id[0] for message in russian() if message.id}
    assert ours - used == set()


def test_translations_keep_the_placeholders() -> None:
    wrong = []
    for message in russian():
        if not message.id:
            continue
        expected = placeholders(message.id if isinstance(message.id, str) else message.id[1])
        wrong += [text for text in texts_of(message) if placeholders(text) != expected]
    assert not wrong


def test_no_translation_is_marked_as_uncertain() -> None:
    assert [message.id for message in russian() if message.id and message.fuzzy] == []


def test_russian_counts_in_three_forms() -> None:
    texts = load_translations("ru")
    said = [
        texts.ngettext("%(num)s resolved", "%(num)s resolved", number) % {"num": number} for number in (1, 3, 5, 11, 21)
    ]
    assert said == ["1 решён", "3 решены", "5 решены", "11 решены", "21 решён"]
    labels = [texts.ngettext("… and %(num)s more label", "… and %(num)s more labels", number) for number in (1, 3, 5)]
    assert len(set(labels)) == 3


def test_the_catalogue_is_a_file_of_the_package() -> None:
    assert (PACKAGE / "__init__.py").is_file()
    assert (LOCALE / "ru" / "LC_MESSAGES" / "relay.po").is_file()
