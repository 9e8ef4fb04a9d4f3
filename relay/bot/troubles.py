"""What is said of an Alertmanager that does not answer or says no: which one, and why."""

from __future__ import annotations

import gettext

from relay.alertmanager import AlertmanagerError, AlertmanagerRefused, AlertmanagerUnreachable

PATIENCE = 4.0
"""Seconds that an Alertmanager gets where most of the answer is known without it; one that is away fails sooner."""


def tell_slow(name: str, texts: gettext.NullTranslations) -> str:
    """It did not answer in time."""
    return texts.gettext("%(name)s is slow to answer.") % {"name": name}


def tell_trouble(error: AlertmanagerError, texts: gettext.NullTranslations) -> str:
    """One line in the reader's language; the reason itself is Alertmanager's or the network's, in English."""
    _ = texts.gettext
    match error:
        case AlertmanagerUnreachable():
            said = _("Alertmanager %(name)s cannot be reached: %(reason)s") % {
                "name": error.name,
                "reason": error.detail,
            }
            doubt = _("Whether the silence was made is not known; /silences shows it.")
            return f"{said}. {doubt}" if error.uncertain else said
        case AlertmanagerRefused():
            return _("Alertmanager %(name)s answered %(status)s: %(reason)s") % {
                "name": error.name,
                "status": error.status,
                "reason": error.message,
            }
    return str(error)
