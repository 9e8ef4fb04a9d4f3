"""What people write, read; what cannot be read is said in their language, with an example that works."""

from __future__ import annotations

from relay.bot.values import Request, Sorry
from relay.clock import Millis
from relay.durations import parse_duration
from relay.text import one_line


def read_length(request: Request, text: str, example: str) -> Millis:
    """The duration that somebody wrote; raises `Sorry`."""
    try:
        return parse_duration(text)
    except ValueError:
        _ = request.texts.gettext
        written = one_line(text, 40) or "—"
        raise Sorry(
            _("“%(written)s” is no duration. For example: %(example)s") % {"written": written, "example": example}
        ) from None


def unreadable(request: Request, error: ValueError, example: str) -> Sorry:
    """What is said of matchers or words that cannot be read; the reason itself is the reader's, in English."""
    _ = request.texts.gettext
    told = {"problem": error, "example": example}
    return Sorry(_("I cannot read this: %(problem)s. For example: %(example)s") % told)
