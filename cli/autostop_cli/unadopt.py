"""The command `unadopt`: a workstation becomes an instance like any other, with its disks or beside its snapshots."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

import click

from autostop import tags
from autostop.aws.errors import aws_errors
from autostop.cost import cost_now
from autostop.model import (
    Checks,
    Instance,
    InstanceState,
    Observation,
    Snapshot,
    SnapshotState,
    Volume,
    WorkstationId,
    instance_of,
)
from autostop.ports import ConflictError, DeniedError
from autostop.sleep import law
from autostop.sleep.from_tags import devices_only_in_snapshots, made_by_autostop
from autostop.sleep.intent import Wanted
from autostop.sleep.manifest import Manifest
from autostop.sleep.own_type import fallback_in_words
from autostop.state import State
from autostop_cli import secret_parameters
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance, dry_run, yes
from autostop_cli.consent import agreed
from autostop_cli.deployed_stack import NoStackError
from autostop_cli.naming import known_instance
from autostop_cli.start_stop_open import followed
from autostop_cli.terminal import FailedError, dollars, refused, say, table

_LEASE = timedelta(minutes=5)
_WOKEN = (
    "It is woken first. Then its tags, its links and its record go, and without --keep-snapshots its snapshots, where "
    "their disks are seen to work."
)
# The machine itself reads these at each boot, adopted or not.
_OF_THE_MACHINE = frozenset({tags.CERTIFICATE, tags.BUCKET})


@dataclass(frozen=True, slots=True)
class Parting:
    """A plan. untagged: the keys that go, by resource, the instance first. deleted: snapshots of disks that run.

    kept: what stays with its tags, and why. asleep: its disks are not in their places. refusals: why nothing may be
    done, with what to do instead. notes: what the owner should know.
    """

    untagged: Mapping[str, tuple[str, ...]]
    deleted: tuple[Snapshot, ...]
    kept: tuple[tuple[Volume | Snapshot, str], ...]
    asleep: bool = False
    refusals: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cost(self) -> float:
        """USD a month at most, of what stays."""
        things = [each for each, _ in self.kept]
        volumes = [each for each in things if isinstance(each, Volume)]
        return cost_now(volumes, [each for each in things if isinstance(each, Snapshot)])


@an_instance
@click.option("--wake-first", is_flag=True, help="Wake it if it is asleep, so that you have its disks.")
@click.option("--keep-snapshots", is_flag=True, help="Delete no snapshot; while it is asleep they hold all its data.")
@yes
@dry_run("Show what would be done and what stays, and change nothing.")
def unadopt(
    account: Account,
    workstation: WorkstationId,
    *,
    wake_first: bool = False,
    keep_snapshots: bool = False,
    yes: bool = False,
    dry_run: bool = False,
) -> None:
    """Make an INSTANCE one like any other: take Autostop's tags, its snapshots, its links and its record away.

    Shows first what goes, what stays and what that costs, and asks. A snapshot is deleted only where its disk runs.
    Safe to run again.
    """
    seen, state = _look(account, workstation)
    parting = plan_parting(seen, state, wake_first=wake_first, keep_snapshots=keep_snapshots)
    wakes = parting.asleep and wake_first
    say(*([_WOKEN] if wakes else _shown(parting)))
    if parting.refusals:
        raise refused(f"{workstation} is not unadopted", parting.refusals)
    if not (parting.untagged or parting.deleted or state.version):
        say("", "Nothing is to be changed: it is not adopted.")
        return
    if not agreed(f"Unadopt {workstation}?", yes=yes, dry_run=dry_run):
        return
    if wakes:
        account.owner.start(workstation, "the command autostop")
        followed(account, workstation, Wanted.RUN, wait=True)
    _part(account, workstation, keep_snapshots=keep_snapshots, woken=wakes)


def _look(account: Account, workstation: WorkstationId) -> tuple[Observation, State]:
    instance = known_instance(account, workstation)
    checks = account.instances.checks(instance.id) if instance.state is InstanceState.RUNNING else Checks.UNKNOWN
    volumes, snapshots = account.disks.volumes(workstation), account.disks.snapshots(workstation)
    seen = Observation(workstation, instance, tuple(volumes), tuple(snapshots), checks)
    try:
        return seen, account.ledger.load(workstation)
    except NoStackError:
        return seen, State(workstation)


def plan_parting(seen: Observation, state: State, *, wake_first: bool, keep_snapshots: bool) -> Parting:
    """What unadopting means. Pure. seen: with an instance."""
    instance, manifest = seen.instance, state.manifest
    if instance is None:
        raise LookupError("of no instance nothing can be planned")
    missing = law.why_not_start(seen, manifest) is not None or bool(devices_only_in_snapshots(seen))
    asleep = instance.state is InstanceState.STOPPED and missing
    taken: dict[str, tuple[str, ...]] = {instance.id: _keys(instance.tags)}
    here = {each.id for each in seen.attached()}
    taken |= {each.id: _keys(each.tags) for each in seen.attached() if tags.are_of(each.tags, seen.workstation)}
    deleted, kept = [], []
    for snapshot in filter(lambda each: made_by_autostop(each, seen), seen.snapshots):
        why = "you keep it" if keep_snapshots else why_not_let_go(snapshot, seen, manifest)
        if why is None or snapshot.state is SnapshotState.ERROR:
            deleted.append(snapshot)
        else:
            kept.append((snapshot, why))
    loose = [each for each in seen.volumes if each.exists and each.id not in here]
    stays: list[tuple[Volume | Snapshot, str]] = [*kept, *((each, "it is not attached here") for each in loose)]
    return Parting(
        {key: each for key, each in taken.items() if each},
        tuple(deleted),
        tuple(stays),
        asleep,
        tuple(_refusals(instance, state, asleep=asleep, wake_first=wake_first, keep_snapshots=keep_snapshots)),
        tuple(_notes(instance, state, asleep=asleep)),
    )


def why_not_let_go(snapshot: Snapshot, seen: Observation, manifest: Manifest | None) -> str | None:
    """Why a snapshot stays: only where its very disk runs in its place, and was seen to work, is its data elsewhere."""
    if seen.instance is None or seen.instance.state is not InstanceState.RUNNING or seen.checks is not Checks.OK:
        return "no start has shown that its disk works"
    if manifest is None or snapshot.cycle is None or snapshot.cycle > manifest.cycle:
        return "nothing says what came of it"
    of_volume = manifest.record_of(snapshot.volume)
    device = snapshot.tags.get(tags.DEVICE, of_volume.device if of_volume is not None else "")
    record = next((each for each in manifest.volumes if each.device == device), None)
    attached = seen.at_device(device)
    if record is None or attached is None:
        return "its disk is not attached"
    if attached.id != record.volume and not manifest.is_restored(attached, record):
        return f"what is attached at {device} is not what it was made of"
    return None


def _keys(carried: Mapping[str, str]) -> tuple[str, ...]:
    ours = (each for each in carried if each == tags.AUTOSTOP or each.startswith(tags.PREFIX))
    return tuple(sorted(each for each in ours if each not in _OF_THE_MACHINE))


def _refusals(
    instance: Instance, state: State, *, asleep: bool, wake_first: bool, keep_snapshots: bool
) -> Iterator[str]:
    intent = state.intent
    if instance.is_gone:
        yield f"it is terminated. `autostop recover {state.workstation}` shows what is left of it."
    elif instance.state in (InstanceState.PENDING, InstanceState.STOPPING):
        yield f"it is {instance.state}. Wait until that is over."
    elif asleep and wake_first:
        if not tags.is_ours(instance.tags):
            yield f"it does not carry the tag `autostop = on`, so nothing wakes it. Run `autostop adopt {instance.id}`."
    elif tags.is_ours(instance.tags) and intent is not None and not intent.settled and state.blocked is None:
        yield f"it is on its way to `{intent.wanted}` ({intent.why}). Wait until it is there: autostop status."
    elif asleep and not keep_snapshots:
        yield (
            "it is asleep: its disks are snapshots. Give --wake-first to have them back before, or --keep-snapshots to "
            "be left with the instance and these snapshots."
        )


def _notes(instance: Instance, state: State, *, asleep: bool) -> Iterator[str]:
    if asleep:
        yield (
            f"as long as its snapshots keep their tags, `autostop adopt {instance.id}` and `autostop start "
            f"{instance.id}` bring it back. By hand: a volume of each in {instance.zone}, attached at its device."
        )
    if (fallback := fallback_in_words(instance, state.fallback)) is not None:
        yield f"{fallback.partition(' The next')[0]} It stays so until you change it."
    if left := sorted(_OF_THE_MACHINE & instance.tags.keys()):
        yield f"{', '.join(left)} stay on it: the machine itself reads them."


def _shown(parting: Parting) -> Iterator[str]:
    for resource, keys in parting.untagged.items():
        yield f"{resource}  without {', '.join(keys)}"
    rows: list[tuple[str, str, str]] = [(each.id, "deleted", _of(each)) for each in parting.deleted]
    rows += [(each.id, "stays", f"{_of(each)}: {why}") for each, why in parting.kept]
    yield from table(rows) if rows else ()
    if parting.kept:
        yield f"What stays costs at most {dollars(parting.cost)}, and nobody looks after it any more."
    yield from (f"Note: {each}" for each in parting.notes)


def _of(each: Volume | Snapshot) -> str:
    device = each.tags.get(tags.DEVICE, "no known device")
    if isinstance(each, Volume):
        return f"a volume of {each.size_gib} GiB, of {device}"
    return f"a snapshot of {device}, cycle {each.cycle}, {each.size_gib} GiB"


def _part(account: Account, workstation: WorkstationId, *, keep_snapshots: bool, woken: bool) -> None:
    """Do what is planned, by what is there now; safe to repeat after a crash at any call.

    The instance first: from then on no function touches anything of it. Its record last.
    """
    try:
        ledger, holder = account.ledger, f"unadopt-{secrets.token_hex(8)}"
    except NoStackError:
        _take_away(account, workstation, *_look(account, workstation), keep_snapshots=keep_snapshots, woken=woken)
        return
    now = account.clock()
    if not ledger.take_lease(workstation, holder, now, now + _LEASE):
        raise FailedError(f"Autostop is at work on {workstation} just now. Run it again in a minute.")
    try:
        seen, state = _look(account, workstation)
        _take_away(account, workstation, seen, state, keep_snapshots=keep_snapshots, woken=woken)
        try:
            ledger.end(state)
        except ConflictError:
            raise FailedError(f"Somebody wants something of {workstation} just now. Run it again.") from None
    finally:
        ledger.give_lease_back(workstation, holder)
    say("", f"{workstation} is a workstation no more. Its links open nothing.")


def _take_away(
    account: Account, workstation: WorkstationId, seen: Observation, state: State, *, keep_snapshots: bool, woken: bool
) -> None:
    parting = plan_parting(seen, state, wake_first=False, keep_snapshots=keep_snapshots and not woken)
    if parting.refusals:
        raise FailedError(f"{workstation} changed meanwhile. Nothing was changed. Run it again.")
    if woken:
        parting = plan_parting(seen, state, wake_first=False, keep_snapshots=keep_snapshots)
        say(*_shown(parting))
    instance = instance_of(workstation)
    _untag(account, instance, parting.untagged.get(instance, ()))
    refused = [f"{each.id}: {why}" for each in parting.deleted if (why := _delete(account, each))]
    for resource, keys in parting.untagged.items():
        if resource != instance:
            _untag(account, resource, keys)
    secret_parameters.forget(account, workstation)
    if refused:
        say(f"Note: AWS does not delete {'; '.join(refused)}. `autostop recover` shows its price.")


def _untag(account: Account, resource: str, keys: Sequence[str]) -> None:
    if keys:
        with aws_errors():
            account.ec2.delete_tags(Resources=[resource], Tags=[{"Key": key} for key in keys])


def _delete(account: Account, snapshot: Snapshot) -> str:
    """Why it is still there; empty when it goes."""
    try:
        account.disks.delete_snapshot(snapshot.id)
    except DeniedError as error:
        return str(error)
    return ""
