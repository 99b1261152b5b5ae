"""What is tidied up at leisure once an intent has settled: no wake waits for it, and its refusal holds nothing up.

Pure. The law is asked before each deletion, as everywhere. What AWS refuses to delete is a leftover: it is tried again
hours later, and told after a day with what it costs.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from autostop import tags
from autostop.cost import cost_now
from autostop.model import InstanceState, Snapshot
from autostop.sleep import law
from autostop.sleep.backoff import between_rounds
from autostop.sleep.calls import Call
from autostop.sleep.capacity import note_of_own_type
from autostop.sleep.leftovers import Housekeeping
from autostop.sleep.manifest import Manifest
from autostop.sleep.outcomes import Note, Situation, Step
from autostop.sleep.ready import is_ready
from autostop.sleep.restore import flag_again

# Until when after a start a second copy of a volume is taken away: later a person may have made use of it.
_FRESH: Final = timedelta(minutes=20)
_NOT_READY: Final = "a start from a later cycle was not seen to work yet"
_USED: Final = "it stands detached, and may hold what nothing else does. Delete it if it does not"


@dataclass(frozen=True, slots=True)
class _Chore:
    """One step that tidies up a thing. waits: why it is not taken for now; None where it may be. manifest: after it."""

    step: Step
    id: str
    usd_a_month: float | None = None
    waits: str | None = None
    manifest: Manifest | None = None


def begin(it: Situation, house: Housekeeping | None) -> Housekeeping | None:
    """What an intent that settles now leaves to be tidied up; None when nothing is. house: what was left before."""
    runs, start = it.instance.state is InstanceState.RUNNING, it.attempts.start
    # After any other start, what stands detached may have been written to in the one before.
    first = start is not None and it.manifest is not None and start.launched_at == it.manifest.launched_at
    started_with = start.volumes if runs and start is not None and first else ()
    left = house.leftovers if house is not None else ()
    new = Housekeeping(it.now, started_with, left, launched_at=it.instance.launched_at)
    return new if runs or new.leftovers or any(_chores(it, new)) else None


def next_chore(it: Situation, house: Housekeeping) -> Step | None:
    """The next step of this round; None when the round is over. Pure."""
    ready = (each for each in _chores(it, house) if each.id not in house.done and each.waits is None)
    chore = next((each for each in ready if house.has_room_for(each.id)), None)
    if chore is None:
        return None
    done = replace(house, done=(*house.done, chore.id))
    note = Note(housekeeping=done, manifest=chore.manifest)
    return replace(chore.step, then=lambda _: note, refused=partial(_refused, chore, done, it.now))


def after_round(it: Situation, house: Housekeeping) -> Housekeeping | None:
    """What is left when a round is over, and when the next one is due; None when nothing is. Pure."""
    chores = {chore.id: chore for chore in _chores(it, house)}
    there = {*(each.id for each in it.seen.snapshots), *(each.id for each in it.seen.volumes)}
    if it.instance.state is InstanceState.RUNNING:
        there &= chores.keys()
    left = tuple(each for each in house.leftovers if each.id in there)
    due_at = it.now + between_rounds(house.rounds)
    # A list that lags may show it as it was before it ran: that was no round.
    starts = it.instance.state is InstanceState.PENDING
    house = replace(house, due_at=due_at, leftovers=left, rounds=house.rounds + (not starts), done=())
    for chore in chores.values():
        if chore.waits is not None:
            house = house.keeping(chore.id, chore.waits, chore.usd_a_month, it.now)
    # After the first round, what EC2's lists show only later is looked for once more.
    first = it.instance.state is InstanceState.RUNNING and house.rounds == 1
    return house if house.leftovers or first or starts else None


def _refused(chore: _Chore, house: Housekeeping, now: datetime, why: str) -> Note:
    kept = house.keeping(chore.id, why, chore.usd_a_month, now)
    return Note(housekeeping=kept, said=f"{chore.id} stays: {why}")


def _named(snapshot: Snapshot, house: Housekeeping, manifest: Manifest) -> Step | None:
    """Write on a snapshot that stays of which device it is, where that could not be written when it was made.

    Its volume tells that now, and not once a later cycle has put another in its place.
    """
    record = manifest.record_of(snapshot.volume)
    stays = any(each.id == snapshot.id for each in house.leftovers)
    if record is None or not stays or tags.DEVICE in snapshot.tags or snapshot.cycle == manifest.cycle:
        return None
    said = f"noted that {snapshot.id} is of {record.device}"
    return Step(said, Call.TAG_SNAPSHOT, (snapshot.id, {tags.DEVICE: record.device}))


def _chores(it: Situation, house: Housekeeping) -> Iterator[_Chore]:
    """All that nothing needs any more, as far as the law allows its deletion now; nothing of what is not ours."""
    if not tags.is_ours(it.instance.tags):
        return
    seen, manifest = it.seen, it.manifest
    # After a start in the console, who started it may have put other volumes in their places for a while.
    started_with = house.started_with if house.launched_at == it.instance.launched_at else ()
    runs = it.instance.state is InstanceState.RUNNING
    ready = runs and is_ready(it)
    if runs and (noted := note_of_own_type(it)) is not None:
        yield _Chore(noted, it.instance.id)
    for device in manifest.unset_flags if runs and manifest is not None else ():
        if manifest is not None and (step := flag_again(it, manifest, device)) is not None:
            yield _Chore(step, str(step.args[2]), manifest=manifest.with_flag(device))
    for snapshot in seen.snapshots:
        if law.why_not_delete_failed_snapshot(snapshot, seen, manifest) is None:
            said = f"deleted {snapshot.id}, which failed and holds nothing"
            yield _Chore(Step(said, Call.DELETE_SNAPSHOT, (snapshot.id,)), snapshot.id)
        elif runs and manifest is not None and law.is_replaceable(snapshot, seen, manifest):
            why = law.why_not_delete_snapshot(snapshot, seen, manifest) or (None if ready else _NOT_READY)
            said = f"deleted {snapshot.id} of cycle {snapshot.cycle}, replaced by another"
            step, cost = Step(said, Call.DELETE_SNAPSHOT, (snapshot.id,)), cost_now((), (snapshot,))
            yield _Chore(step, snapshot.id, cost, why)
            if (named := _named(snapshot, house, manifest)) is not None:
                yield _Chore(named, f"the device of {snapshot.id}")
    for volume in seen.volumes:
        if manifest is not None and law.why_not_delete_double(volume, seen, manifest, started_with) is None:
            fresh = ready and it.now - it.instance.launched_at < _FRESH
            step = Step(f"deleted {volume.id}, a second copy that was never used", Call.DELETE_VOLUME, (volume.id,))
            yield _Chore(step, volume.id, cost_now((volume,), ()), None if fresh else _USED)
        elif runs and law.is_detached(volume, seen):
            # Of an earlier cycle, or taken out by a person: nobody here can tell whether it is needed; it is billed.
            yield _Chore(Step(f"{volume.id} is left to its owner"), volume.id, cost_now((volume,), ()), _USED)
