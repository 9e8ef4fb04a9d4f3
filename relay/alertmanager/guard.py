"""Which silences need a second thought: Alertmanager takes matchers that mute nearly everything without a word."""

from __future__ import annotations

from collections.abc import Sequence

from relay.matchers import Matcher

NO_MATCHER = "there is no matcher: it would silence every alert"
FITS_ABSENT = "every matcher also fits alerts without the label: it would silence nearly every alert"
ONLY_NEGATIVE = "it only says which alerts are left alone: it would silence every other one"
ANY_VALUE = "its patterns fit almost any value: it would silence nearly every alert"

# Names that nobody has: a pattern that fits one of them describes no names in particular.
_NOBODY = ("Zqxjkvbw", "zqxjkvbw", "ZQXJKVBW", "zqxjkvbw-7", "zqxjkvbw.qzx:7", "zqx_jkv", "Жщъ ~7")


def guard(matchers: Sequence[Matcher]) -> str | None:
    """Why a silence of these matchers needs a second confirmation; None if one of them is selective.

    The reasons are a closed list (this module's constants), so that they can be translated. Alertmanager itself refuses
    the first, and the second where no matcher is negative (`silence/silence.go` validateSilence).
    """
    if not matchers:
        return NO_MATCHER
    if any(_selective(matcher) for matcher in matchers):
        return None
    positive = [matcher for matcher in matchers if matcher.is_equal]
    if not positive:
        return ONLY_NEGATIVE
    return FITS_ABSENT if all(matcher.matches_value("") for matcher in matchers) else ANY_VALUE


def _selective(matcher: Matcher) -> bool:
    if not matcher.is_equal or matcher.pattern_fits(""):
        return False
    return not any(matcher.pattern_fits(value) for value in _NOBODY)
