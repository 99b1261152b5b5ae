"""Find the one next step from what is, to what is wanted.

Pure: no clock, no network, no environment. The step is computed from what *is*, each time anew, so a crash, a lost
or doubled event, a tap in the middle and a person in the console are all the same case.
"""

from datetime import datetime, timedelta

from autostop import tags
from autostop.idle.reading import Reading
from autostop.model import LISTS_LAG_FOR, Checks, Instance, InstanceState, Observation
from autostop.settings import words
from autostop.sleep import law
from autostop.sleep.attempts import NOTHING_TRIED, Tried
from autostop.sleep.capacity import next_start, outdated_note, unusable_types
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.leftovers import failed_snapshot, replaced_snapshot
from autostop.sleep.manifest import Manifest
from autostop.sleep.refusals import why_never_shelve, why_never_stop, why_not_ours
from autostop.sleep.restore import bring_whole
from autostop.sleep.shelving import shelve_stopped
from autostop.sleep.steps import (
    A_MINUTE,
    SECONDS,
    Blocked,
    ChangeIntent,
    NoteType,
    Outcome,
    Settled,
    StopInstance,
    Wait,
)

# How long Jupyter may take to answer after a launch before the start counts as done without it.
JUPYTER_ANSWERS_WITHIN = timedelta(minutes=10)


def next_step(
    seen: Observation, intent: Intent, manifest: Manifest | None, now: datetime, tried: Tried = NOTHING_TRIED
) -> Outcome:
    """The next step of a workstation toward its intent. Pure.

    manifest: of the latest cycle, as it is kept in the table; None before the first. tried: for this intent.
    """
    if intent.settled:
        return Settled()
    instance = seen.instance
    if instance is None or instance.state in (InstanceState.TERMINATED, InstanceState.SHUTTING_DOWN):
        return Blocked(
            f"the instance {seen.workstation} is terminated or not there. Its snapshots are kept; "
            f"`autostop recover {seen.workstation}` builds a new instance from them."
        )
    if not tags.is_ours(instance.tags):
        return Blocked(f"it does not carry the tag `autostop = on`. Run `autostop adopt {seen.workstation}` again.")
    match intent.wanted:
        case Wanted.RUN:
            return _toward_run(seen, instance, manifest, tried, now)
        case Wanted.STOP:
            return _toward_stop(instance)
        case Wanted.SHELVE:
            return _toward_shelve(seen, instance, intent, manifest, tried, now)


def _toward_stop(instance: Instance) -> Outcome:
    match instance.state:
        case InstanceState.STOPPED:
            return Settled()
        case InstanceState.STOPPING:
            return Wait("EC2 is stopping the instance", A_MINUTE)
        case InstanceState.PENDING:
            return Wait("EC2 is starting the instance; it can be stopped then", SECONDS)
        case _:
            reason = why_never_stop(instance)
            return Blocked(f"it is not stopped: {reason}") if reason else StopInstance()


def _toward_shelve(
    seen: Observation, instance: Instance, intent: Intent, manifest: Manifest | None, tried: Tried, now: datetime
) -> Outcome:
    if instance.state is not InstanceState.STOPPED:
        if instance.state is InstanceState.RUNNING and _started_by_a_person(instance, intent, manifest):
            return ChangeIntent(Wanted.RUN, By.FOUND, "it was started outside Autostop while it was being shelved")
        # Spot is only stopped, and whatever may not be shelved is refused before it is half done.
        reason = why_never_shelve(instance, seen.attached()) if instance.spot is None else None
        return Blocked(f"it is not shelved: {reason}") if reason else _toward_stop(instance)
    if instance.spot is not None:
        return Settled("A Spot instance is only stopped: EC2 may end one whose root volume is gone.")
    # It may have been stopped by others: hibernated in the console, or set aside by its Auto Scaling group.
    reason = (
        why_never_stop(instance)
        or why_never_shelve(instance, seen.attached())
        or why_not_ours(seen.attached(), seen.workstation)
    )
    if reason:
        return Blocked(f"it is stopped, and its volumes stay: {reason}")
    return shelve_stopped(seen, instance, intent, manifest, tried, now)


def _started_by_a_person(instance: Instance, intent: Intent, manifest: Manifest | None) -> bool:
    """True when it was seen stopped under this very intent and runs again: a start is a later wish than the intent."""
    return manifest is not None and manifest.intent == intent.number and not manifest.holds_since(instance)


def _toward_run(
    seen: Observation, instance: Instance, manifest: Manifest | None, tried: Tried, now: datetime
) -> Outcome:
    match instance.state:
        case InstanceState.RUNNING:
            return _finish_start(seen, instance, manifest, tried, now)
        case InstanceState.PENDING:
            return Wait("EC2 is starting the instance", SECONDS)
        case InstanceState.STOPPING:
            return Wait("EC2 is still stopping the instance; it is started right after", SECONDS)
        case _:
            missing = bring_whole(seen, instance, manifest, tried, now)
            if missing is not None:
                return missing
            if manifest is not None and _was_just_detached(seen, instance, manifest, now):
                return Wait("EC2's lists may not show yet what was detached a moment ago", SECONDS)
            refusal = law.why_not_start(seen, manifest)
            return Blocked(f"it is not started: {refusal}.") if refusal else next_start(seen, instance, tried, now)


def _was_just_detached(seen: Observation, instance: Instance, manifest: Manifest, now: datetime) -> bool:
    """True while a volume that was never away by the lists may be away by EC2: a start would go without it."""
    lately = manifest.detached_at is not None and now - manifest.detached_at < LISTS_LAG_FOR
    by_the_lists = {(volume.id, volume.device) for volume in seen.attached()}
    never_away = any((record.volume, record.device) in by_the_lists for record in manifest.volumes)
    return lately and manifest.holds_since(instance) and never_away


def _finish_start(
    seen: Observation, instance: Instance, manifest: Manifest | None, tried: Tried, now: datetime
) -> Outcome:
    """Wait until it works, then let go of what it replaced."""
    if seen.checks is Checks.IMPAIRED:
        return Wait("the instance runs, but EC2's status checks fail", A_MINUTE)
    answered = isinstance(seen.jupyter, Reading)
    serving = isinstance(seen.jupyter, Reading) and bool(seen.jupyter.servers)
    # An answering Jupyter is seen minutes before EC2's checks are through; the page shows it then.
    if seen.checks is not Checks.OK:
        why = "Jupyter answers; EC2's status checks are running" if serving else "the instance is booting"
        return Wait(why, SECONDS)
    if outdated_note(instance):
        # Left there, a person's later change to that very type would be taken for a fall-back.
        return NoteType("")
    if (failed := failed_snapshot(seen, manifest)) is not None:
        return failed
    note = unusable_types(seen, instance, tried)
    if seen.asks_jupyter and not serving:
        if now - instance.launched_at < JUPYTER_ANSWERS_WITHIN:
            return Wait("the instance runs; Jupyter does not answer yet", SECONDS)
        if not answered:
            within = words(JUPYTER_ANSWERS_WITHIN)
            silent = f"It runs, but nothing was heard of Jupyter for {within}. Older snapshots are kept."
            return Settled(f"{silent} {note}".strip())
    return replaced_snapshot(seen, manifest) or Settled(note)
