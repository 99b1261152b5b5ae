"""Find the one next step from what is, to what is wanted.

Pure: no clock, no network, no environment. The step is computed from what *is*, each time anew, so a crash, a lost
or doubled event, a tap in the middle and a person in the console are all the same case.
"""

from datetime import datetime

from autostop import tags
from autostop.model import LISTS_LAG_FOR, InstanceState, Observation
from autostop.settings import words
from autostop.sleep import law, unsuitable
from autostop.sleep.calls import Call
from autostop.sleep.capacity import next_start, unusable_types
from autostop.sleep.detached import volumes_deleted, volumes_detached, volumes_kept, volumes_looked_after
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.manifest import Manifest
from autostop.sleep.new_cycle import manifest_of_this_stop
from autostop.sleep.outcomes import (
    A_MINUTE,
    A_MOMENT,
    HANGS_AFTER,
    SECONDS,
    Blocked,
    Note,
    Outcome,
    Settled,
    Situation,
    Step,
    Wait,
    want,
)
from autostop.sleep.own_type import Fallback
from autostop.sleep.ready import gets_ready
from autostop.sleep.resize import Resize
from autostop.sleep.restore import whole
from autostop.sleep.snapshot_set import snapshots_asked_for, snapshots_complete
from autostop.sleep.start_attempts import NO_ATTEMPTS, Attempts
from autostop.sleep.undo_of_a_stop import undo_until


def next_step(
    seen: Observation,
    intent: Intent,
    manifest: Manifest | None,
    now: datetime,
    attempts: Attempts = NO_ATTEMPTS,
    fallback: Fallback | None = None,
    resize: Resize | None = None,
) -> Outcome:
    """The next step of a workstation toward its intent. Pure.

    The first link of a chain that is not None is the answer; a link is None once its part is done.
    manifest: of the latest cycle, as it is kept in the table; None before the first. attempts: for this intent.
    """
    if intent.settled:
        return Settled()
    instance = seen.instance
    if instance is None or instance.is_gone:
        return Blocked(
            f"the instance {seen.workstation} is terminated or not there. Its snapshots are kept; "
            f"`autostop recover {seen.workstation}` builds a new instance from them."
        )
    if not tags.is_ours(instance.tags):
        return Blocked(f"it does not carry the tag `autostop = on`. Run `autostop adopt {seen.workstation}` again.")
    it = Situation(seen, instance, intent, manifest, attempts, now, fallback, resize)
    match intent.wanted, instance.state:
        case Wanted.RUN, InstanceState.STOPPED:
            return whole(it) or lists_show_it(it) or law_allows_a_start(it) or next_start(it)
        case Wanted.RUN, InstanceState.STOPPING:
            return hangs(it) or Wait("EC2 is still stopping the instance; it is started right after", SECONDS)
        case Wanted.RUN, InstanceState.PENDING:
            return hangs(it) or Wait("EC2 is starting the instance", SECONDS)
        case Wanted.RUN, _:
            return gets_ready(it) or Settled(unusable_types(it))
        case Wanted.STOP, _:
            return stop(it)
        case Wanted.SHELVE, InstanceState.STOPPED if instance.spot is not None:
            return Settled("A Spot instance is only stopped: EC2 may end one whose root volume is gone.")
        case Wanted.SHELVE, InstanceState.STOPPED:
            return (
                may_be_shelved(it)
                or manifest_of_this_stop(it)
                or volumes_looked_after(it)
                or snapshots_asked_for(it)
                or snapshots_complete(it)
                or volumes_detached(it)
                or volumes_kept(it)
                or volumes_deleted(it)
                or Settled()
            )
        case Wanted.SHELVE, _:
            return started_by_a_person(it) or stop(it)


# --- toward run -------------------------------------------------------------------------------------------------------


def lists_show_it(it: Situation) -> Wait | None:
    """Wait while a volume that was never away by the lists may be away by EC2: a start would go without it."""
    manifest = it.cycle
    if manifest is None or manifest.detached_at is None or it.now - manifest.detached_at >= LISTS_LAG_FOR:
        return None
    by_the_lists = {(volume.id, volume.device) for volume in it.seen.attached()}
    if any((record.volume, record.device) in by_the_lists for record in manifest.volumes):
        return Wait("EC2's lists may not show yet what was detached a moment ago", SECONDS)
    return None


def law_allows_a_start(it: Situation) -> Blocked | None:
    """Every volume is in its place, and no other in its stead."""
    refusal = law.why_not_start(it.seen, it.manifest)
    return Blocked(f"it is not started: {refusal}.") if refusal else None


def hangs(it: Situation) -> Blocked | None:
    """EC2 has been starting or stopping it for longer than it ever takes."""
    starts = it.instance.state is InstanceState.PENDING
    since = it.instance.launched_at if starts else it.instance.stopped_at or it.intent.at
    if it.now - since < HANGS_AFTER:
        return None
    too_long = f"it for over {words(HANGS_AFTER)}"
    if starts:
        return Blocked(f"EC2 has been starting {too_long}. Look at it in the console.")
    remedy = "Stop it by force in the console; its file systems are checked then."
    return Blocked(f"EC2 has been stopping {too_long}. {remedy}")


# --- toward stop ------------------------------------------------------------------------------------------------------


def started_by_a_person(it: Situation) -> Step | None:
    """It was seen stopped under this very intent and runs again: a start is a later wish than the intent."""
    manifest = it.manifest
    if it.instance.state is not InstanceState.RUNNING or manifest is None or manifest.intent != it.intent.number:
        return None
    why = "it was started outside Autostop while it was being shelved"
    return None if it.cycle is not None else want(it.intent, Wanted.RUN, By.FOUND, why, it.now)


def stop(it: Situation) -> Outcome:
    """Stop it, when its state allows that and nothing forbids it."""
    if it.instance.state is InstanceState.STOPPED:
        return Settled()
    if it.instance.state is InstanceState.STOPPING:
        return hangs(it) or Wait("EC2 is stopping the instance", A_MINUTE)
    if it.instance.state is InstanceState.PENDING:
        return hangs(it) or Wait("EC2 is starting the instance; it can be stopped then", SECONDS)
    if (reason := unsuitable.why_never_stop(it.instance)) is not None:
        return Blocked(f"it is not stopped: {reason}")
    if (until := undo_until(it.intent, it.instance, it.now)) is not None:
        return Wait("its owner may still turn the stop back", max(until - it.now, A_MOMENT))
    # Written before the call: the write is refused when the owner tapped since the state was read.
    asked = Note(waiting_for="EC2 is asked to stop the instance")
    return Step("asked EC2 to stop the instance", Call.STOP, (it.instance.id,), first=asked)


# --- toward shelve ----------------------------------------------------------------------------------------------------


def may_be_shelved(it: Situation) -> Blocked | None:
    """It may have been stopped by others: hibernated in the console, or set aside by its Auto Scaling group."""
    attached = it.seen.attached()
    reason = (
        unsuitable.why_never_stop(it.instance)
        or unsuitable.why_never_shelve(it.instance, attached)
        or unsuitable.why_not_ours(attached, it.seen.workstation)
    )
    return Blocked(f"it is stopped, and its volumes stay: {reason}") if reason else None
