"""Start an instance that EC2 may have no capacity for: as its own type first, then as those that its owner names."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from autostop import tags
from autostop.clock import clock_time
from autostop.model import LISTS_LAG_FOR, Instance, OtherType
from autostop.sleep.backoff import after_no_capacity
from autostop.sleep.calls import Call
from autostop.sleep.outcomes import MOST_ATTEMPTS, SECONDS, Blocked, Note, Outcome, Situation, Step, Wait
from autostop.sleep.own_type import Fallback, hinted, own_type
from autostop.sleep.resize import own_type_now
from autostop.sleep.start_attempts import AskedStart, Attempts

# What EC2 writes as the reason when a start that it accepted comes to nothing for that (botocore, `StateReason`).
_NO_CAPACITY = "InsufficientInstanceCapacity"


def why_never_become(instance: Instance, other: OtherType) -> str | None:
    """Why this instance must not be changed to another type for want of capacity; None when it may be."""
    if instance.spot is not None:
        return "the type of a Spot instance cannot be changed."
    if not other.architectures:
        return "EC2 does not know it in this Region."
    if instance.architecture not in other.architectures:
        return f"it is for {' and '.join(other.architectures)}, and the workstation is {instance.architecture}."
    if other.instance_store_gb and not tags.instance_store_is_scratch(instance.tags):
        return "it has instance-store disks, and a stop empties them."
    return None


def note_of_own_type(it: Situation) -> Step | None:
    """Write its own type on the instance while it runs as another, and take that back once it does not hold any more.

    It is a hint for `autostop recover`, should the table be lost; nothing else believes it.
    """
    instance, own = it.instance, own_type(it.instance, it.fallback)
    noted = instance.tags.get(tags.INSTANCE_TYPE, "")
    hint = Fallback(own, instance.type).hint if own != instance.type else ""
    wanted = it.resize.type if it.resize is not None else None
    # After a person's own change of the type the table may be what is wrong; after the owner's wish it is not.
    if noted == hint or (not hint and wanted != own and hinted(instance.type, instance.tags) is not None):
        return None
    return Step(f"noted that its own type is {own}", Call.NOTE_TYPE, (instance.id, hint))


def unusable_types(it: Situation) -> str:
    """Which types are not tried for want of capacity, and why, in a sentence each; empty when all may be."""
    reasons = {each.type: each.why for each in it.attempts.refused_types}
    for other in it.seen.other_types:
        if (reason := why_never_become(it.instance, other)) is not None:
            reasons[other.name] = reason
    return " ".join(f"{name} is not tried: {reason.rstrip('.')}." for name, reason in reasons.items())


def next_start(it: Situation) -> Outcome:
    """The next step toward a start of a stopped instance that is whole. Pure."""
    instance, now = it.instance, it.now
    if it.attempts.start is not None and (fallen := _fallen_back(it, it.attempts.start)) is not None:
        return fallen
    own = own_type_now(instance, it.fallback, it.resize, it.attempts)
    named = [other.name for other in it.seen.other_types if why_never_become(instance, other) is None]
    before = [it.resize.was] if it.resize is not None and it.resize.type is not None else []
    order = [type_ for type_ in dict.fromkeys([own, *named, *before]) if it.attempts.why_refused(type_) is None]
    if not order:
        return Blocked(f"EC2 starts it as no type. {unusable_types(it)}")
    turn, due = _turn(order, it.attempts, now)
    if due is not None:
        why = (
            f"EC2 has no capacity in {instance.zone} for {_listed(order)}. It is tried again at {_clock(due, it)}. "
            f"{unusable_types(it)}"
        )
        return Wait(why.strip(), due - now)
    return _become(it, own, turn) or _start(it, own)


def _turn(order: Sequence[str], attempts: Attempts, now: datetime) -> tuple[str, datetime | None]:
    """Which type is next in its round; with the moment to wait for when a round is over."""
    first = order[0]
    rounds = attempts.times(first)
    behind = next((type_ for type_ in order[1:] if attempts.times(type_) < rounds), None)
    if behind is not None:
        return behind, None
    if not rounds:
        return first, None
    due = max(each.at for each in attempts.no_capacity if each.type in order) + after_no_capacity(rounds)
    return first, due if now < due else None


def _start(it: Situation, own: str) -> Step:
    instance = it.instance
    volumes = tuple(volume.id for volume in it.seen.attached())
    started = Note(attempts=it.attempts.starting(instance.launched_at, it.now, volumes))
    said = "asked EC2 to start the instance"
    # A refusal of the fall-back, or of a type that is only wanted, leaves the others; one of its own is for a person.
    wanted = it.resize is not None and instance.type == it.resize.type != it.resize.was
    about = instance.type if instance.type != own or wanted else None
    return _step(it, said, Call.START, (instance.id,), about=about, then=started)


def _become(it: Situation, own: str, wanted: str) -> Step | None:
    """What makes the instance the wanted type; None when it is.

    From one fall-back to the next it goes by way of its own type: so at every moment the table and the present type
    together tell the own one, whatever call is the last before a crash.
    """
    instance = it.instance
    if instance.type == wanted:
        return None
    if wanted == own or instance.type != own:
        return _step(it, f"changed its type to {own}", Call.CHANGE_TYPE, (instance.id, own), about=own)
    known = Fallback(own, wanted)
    if it.fallback != known:
        # The hint comes before the change: the table may be lost at any moment after it. A refusal of the hint is told
        # by the housekeeping and holds up no start.
        said, note = f"noted that its own type is {own}", (instance.id, known.hint)
        return Step(said, Call.NOTE_TYPE, note, first=Note(fallback=known), refused=lambda error: Note(said=error))
    return _step(it, f"changed its type to {wanted}", Call.CHANGE_TYPE, (instance.id, wanted), about=wanted)


def _step(
    it: Situation, said: str, call: Call, args: tuple[str, ...], *, about: str | None, then: Note | None = None
) -> Step:
    """A step toward a start. about: the type that a refusal of it rules out; None where it blocks the workstation."""
    instance, attempts = it.instance, it.attempts
    lacking = _lacks(instance, attempts, it.now, f"EC2 has no capacity for {instance.type} in {instance.zone}")
    step = Step(said, call, args, then=None if then is None else lambda _: then, lacking=lacking)
    if about is None:
        return step
    return replace(
        step, refused=lambda error: Note(attempts=attempts.refusing(about, error), said=f"{about} is refused: {error}")
    )


def _lacks(instance: Instance, attempts: Attempts, now: datetime, said: str) -> Note:
    return Note(attempts=attempts.lacking(instance.type, now), said=said)


def _fallen_back(it: Situation, start: AskedStart) -> Outcome | None:
    """What follows from a start that EC2 accepted, of an instance that is stopped; None: it is asked for again."""
    instance, now = it.instance, it.now
    if instance.launched_at == start.launched_at:
        return Wait("EC2 does not show the start yet", SECONDS) if now - start.at < LISTS_LAG_FOR else None
    if _NO_CAPACITY in instance.state_reason:
        said = f"EC2 had no capacity for {instance.type}"
        return Step(said, first=_lacks(instance, it.attempts, now, said))
    fell = f"it was started and stopped again at once ({instance.state_reason or 'EC2 does not say why'})"
    if start.number >= MOST_ATTEMPTS:
        return Blocked(
            f"{fell}, {start.number} times. If its volumes are encrypted: may Autostop use their KMS key? See to that, "
            "then ask for a start."
        )
    due = start.at + after_no_capacity(start.number)
    return Wait(f"{fell}; it is tried again at {_clock(due, it)}", due - now) if now < due else None


def _clock(at: datetime, it: Situation) -> str:
    return clock_time(at, it.seen.zone, it.now, "%H:%M:%S")


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
