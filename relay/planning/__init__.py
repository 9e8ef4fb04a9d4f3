"""What is sent next: of one post, of a whole destination, and of a digest. Values in, values out; no clock, no I/O."""

from relay.planning.destinations import MOST_OWN, Allowance, Backlog, Digest, Storm, own_left, plan_destination
from relay.planning.digests import DigestState, DigestStep, Shown, plan_digest, plan_removal, plan_summary
from relay.planning.posts import (
    ATTACH_ONCE_IN,
    TELL_ONCE_IN,
    Later,
    PostState,
    Step,
    changes_since,
    only_tells,
    plan,
)

__all__ = [
    "ATTACH_ONCE_IN",
    "MOST_OWN",
    "TELL_ONCE_IN",
    "Allowance",
    "Backlog",
    "Digest",
    "DigestState",
    "DigestStep",
    "Later",
    "PostState",
    "Shown",
    "Step",
    "Storm",
    "changes_since",
    "only_tells",
    "own_left",
    "plan",
    "plan_destination",
    "plan_digest",
    "plan_removal",
    "plan_summary",
]
