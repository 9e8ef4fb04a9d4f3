"""The catalogue of texts: English is written in the code and the templates, other languages stand in `relay/locale`."""

from __future__ import annotations

import functools
import gettext
from io import BytesIO
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

LOCALE = Path(__file__).parent.parent / "locale"


@functools.cache
def load_translations(language: str) -> gettext.NullTranslations:
    """The texts of a language (`en`, `ru`), read once; one without a catalogue gets the English ones.

    Read from the `.po` file itself, so that no compiled twin can be out of date or be missing from a wheel.
    """
    path = LOCALE / language / "LC_MESSAGES" / "relay.po"
    if not path.is_file():
        return gettext.NullTranslations()
    with path.open("rb") as source:
        catalogue = read_po(source, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
