"""Start an instance that EC2 may have no capacity for: as its own type first, then as those that its owner names."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from autostop import tags
from autostop.model import LISTS_LAG_FOR, Instance, Observation
from autostop.sleep.attempts import MOST_ATTEMPTS, AskedStart, Tried
from autostop.sleep.refusals import why_never_become
from autostop.sleep.steps import (
    SECONDS,
    Blocked,
    ChangeType,
    NoteNoCapacity,
    NoteType,
    StartInstance,
    Wait,
)

_LONGEST_WAIT = timedelta(minutes=15)
# What EC2 writes as the reason when a start that it accepted comes to nothing for that (botocore, `StateReason`).
_NO_CAPACITY = "InsufficientInstanceCapacity"


def own_type(instance: Instance) -> str:
    """The type that its owner gave it: another than the present one while it is a fall-back.

    The note on the instance holds only while its second word is the present type: after a person's own change of the
    type it says nothing any more.
    """
    own, _, fallback = instance.tags.get(tags.INSTANCE_TYPE, "").partition(" ")
    return own if own and fallback == instance.type else instance.type


def fallback_in_words(instance: Instance) -> str | None:
    """As what it runs instead of its own type, and why; None when it is its own."""
    own = own_type(instance)
    if own == instance.type:
        return None
    return f"It runs as {instance.type}: {own} had no capacity. The next start tries {own} first."


def outdated_note(instance: Instance) -> bool:
    """True when the instance carries a note on its type that holds no more."""
    return own_type(instance) == instance.type and bool(instance.tags.get(tags.INSTANCE_TYPE))


def unusable_types(seen: Observation, instance: Instance, tried: Tried) -> str:
    """Which types are not tried for want of capacity, and why, in a sentence each; empty when all may be."""
    reasons = {each.type: each.why for each in tried.refused_types}
    for other in seen.other_types:
        if (reason := why_never_become(instance, other)) is not None:
            reasons[other.name] = reason
    return " ".join(f"{name} is not tried: {reason.rstrip('.')}." for name, reason in reasons.items())


def next_start(
    seen: Observation, instance: Instance, tried: Tried, now: datetime
) -> StartInstance | NoteType | ChangeType | NoteNoCapacity | Wait | Blocked:
    """The next step toward a start of a stopped instance that is whole. Pure."""
    if tried.start is not None:
        fallen = _fallen_back(instance, tried.start, now)
        if fallen is not None:
            return fallen
    own = own_type(instance)
    named = [other.name for other in seen.other_types if why_never_become(instance, other) is None]
    order = [type_ for type_ in dict.fromkeys([own, *named]) if tried.why_refused(type_) is None]
    if not order:
        return Blocked(f"EC2 starts it as no type. {unusable_types(seen, instance, tried)}")
    turn, due = _turn(order, tried, now)
    if due is not None:
        why = (
            f"EC2 has no capacity in {instance.zone} for {_listed(order)}. It is tried again at {due:%H:%M:%S} UTC. "
            f"{unusable_types(seen, instance, tried)}"
        )
        return Wait(why.strip(), due - now)
    return _become(instance, own, turn) or StartInstance()


def _turn(order: Sequence[str], tried: Tried, now: datetime) -> tuple[str, datetime | None]:
    """Which type is next in its round; with the moment to wait for when a round is over."""
    first = order[0]
    rounds = tried.times(first)
    behind = next((type_ for type_ in order[1:] if tried.times(type_) < rounds), None)
    if behind is not None:
        return behind, None
    if not rounds:
        return first, None
    due = max(each.at for each in tried.no_capacity if each.type in order) + _backoff(rounds)
    return first, due if now < due else None


def _backoff(times: int) -> timedelta:
    """1, 2, 4 ... minutes."""
    return min(_LONGEST_WAIT, timedelta(minutes=2 ** min(times - 1, 4)))


def _become(instance: Instance, own: str, wanted: str) -> NoteType | ChangeType | None:
    """What makes the instance the wanted type; None when it is.

    From one fall-back to the next it goes by way of its own type: so at every moment the note and the present type
    together tell the own one, whatever call is the last before a crash.
    """
    if instance.type == wanted:
        return None
    if wanted == own or instance.type != own:
        return ChangeType(own)
    note = f"{own} {wanted}"
    return ChangeType(wanted, note) if instance.tags.get(tags.INSTANCE_TYPE) == note else NoteType(note)


def _fallen_back(instance: Instance, start: AskedStart, now: datetime) -> NoteNoCapacity | Wait | Blocked | None:
    """What follows from a start that EC2 accepted, of an instance that is stopped; None: it is asked for again."""
    if instance.launched_at == start.launched_at:
        return Wait("EC2 does not show the start yet", SECONDS) if now - start.at < LISTS_LAG_FOR else None
    if _NO_CAPACITY in instance.state_reason:
        return NoteNoCapacity(instance.type)
    fell = f"it was started and stopped again at once ({instance.state_reason or 'EC2 does not say why'})"
    if start.number >= MOST_ATTEMPTS:
        return Blocked(
            f"{fell}, {start.number} times. If its volumes are encrypted: may Autostop use their KMS key? See to that, "
            "then ask for a start."
        )
    due = start.at + _backoff(start.number)
    return Wait(f"{fell}; it is tried again at {due:%H:%M:%S} UTC", due - now) if now < due else None


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
