"""Why a channel takes nothing, in the reader's words; what its platform said stays as it was said."""

from __future__ import annotations

import gettext


def tell_failure(reason: str, detail: str, texts: gettext.NullTranslations) -> str:
    """`нет связи (cannot reach Slack)`: the reason where the detail is in another language, and the detail."""
    _ = texts.gettext
    names = {
        "connection": _("no connection"),
        "timeout": _("no answer in time"),
        "rate_limited": _("too many messages"),
        "server_error": _("its server fails"),
        "unauthorized": _("token or password is refused"),
        "forbidden": _("not allowed to write there"),
        "not_found": _("there is no such address"),
        "too_large": _("the message is too long"),
        "template": _("the template fails"),
        "expired": _("it has waited for too long"),
    }
    name = names.get(reason, _("the message is refused"))
    if isinstance(texts, gettext.GNUTranslations) and detail:
        return f"{name} ({detail})"
    return detail or name
