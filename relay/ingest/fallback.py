"""What a channel cannot show and somebody must see at once, is shown by the channel that stands in for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from relay.clock import Clock
from relay.ingest.policy import Policy, channels_of, channels_text
from relay.ingest.turn import Turn
from relay.severity import Severity
from relay.store.database import Connection
from relay.store.rows import IncidentRow, MembershipRow, PostRow
from relay.store.scope import Scope


def show_elsewhere(
    conn: Connection,
    stranded: Sequence[tuple[int, str]],
    stand_ins: Mapping[str, str],
    *,
    policy: Policy,
    new_id: Callable[[], int],
    clock: Clock,
) -> frozenset[str]:
    """Shows critical alerts that were not told at their channel at another one; the channels that have work now.

    From then on the alert belongs to both: whatever becomes of it, its end too, is shown wherever it was shown.

    Args:
        conn: the transaction.
        stranded: incidents and the channels that do not show them (`store.watching.find_stranded`).
        stand_ins: channel -> the channel that stands in for it.
        policy: for the turn.
        new_id: for posts and history.
        clock: for the turn.
    """
    scope = Scope(conn)
    scope.load_incidents({incident for incident, _ in stranded})
    turn = Turn(scope, policy, new_id, clock())
    for incident_id, channel in stranded:
        incident = scope.incidents.get(incident_id)
        for post in list(scope.of_incident.get(incident_id, ())):
            if incident is not None and post.channel == channel and channel in stand_ins:
                _stand_in(turn, incident, post, stand_ins[channel])
    woken = turn.finish()
    scope.write()
    return frozenset(woken)


def keep_stand_ins(
    posts: Sequence[PostRow], before: Mapping[str, bool], routed: Mapping[str, bool]
) -> Mapping[str, bool]:
    """Channels of an alert that is routed anew: a stand-in goes on showing what it has shown."""
    kept = {
        post.channel: routed[post.instead_of]
        for post in posts
        if post.instead_of in routed and post.channel in before and post.channel not in routed
    }
    return {**routed, **kept}


def _stand_in(turn: Turn, incident: IncidentRow, post: PostRow, stand_in: str) -> None:
    members = turn.scope.load_members(incident.id)
    untold = [one for one in members if _is_untold(turn, one, post) and stand_in not in channels_of(one.channels)]
    if not untold:
        return
    revision = turn.bump(incident)
    for membership in untold:
        channels = channels_of(membership.channels)
        shown = {**channels, stand_in: channels[post.channel]}
        membership.channels, membership.changed_rev = channels_text(frozenset(shown.items())), revision
    posts = turn.scope.of_incident.setdefault(incident.id, [])
    other = next((one for one in posts if one.channel == stand_in), None)
    if other is None:
        other = PostRow(id=turn.new_id(), incident_id=incident.id, channel=stand_in, created_at=turn.now)
        posts.append(turn.scope.posts.add(other))
    other.instead_of = post.channel
    # it rings for what it gets now, also if that fired before its last message
    other.announced_rev = min(other.announced_rev, *(_news(one) - 1 for one in untold))
    turn.ring(incident, {stand_in: False}, Severity.CRITICAL)
    turn.record("fallback", incident=incident, channel=stand_in, detail=f"instead of {post.channel}")


def _is_untold(turn: Turn, membership: MembershipRow, post: PostRow) -> bool:
    return (
        membership.open
        and post.channel in channels_of(membership.channels)
        and turn.scope.alerts[membership.alert_id].severity == Severity.CRITICAL
        and _news(membership) > post.announced_rev
    )


def _news(membership: MembershipRow) -> int:
    """The revision at which the alert last rang."""
    return max(membership.fired_rev, membership.raised_rev)
