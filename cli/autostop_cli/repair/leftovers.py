"""What carries our tag in the account and belongs to no workstation: looked up, shown, and deleted when asked to."""

from collections.abc import Sequence
from typing import Any

from autostop import tags
from autostop.aws.ec2 import tags_of
from autostop.model import Observation, SnapshotId, VolumeId, WorkstationId
from autostop.ports import DamagedError
from autostop.sleep.intent import Wanted
from autostop_cli.account import Account
from autostop_cli.consent import Ask
from autostop_cli.repair.images import OURS, deregister, images_where
from autostop_cli.repair.orphans import Kind, Orphan, Standing, find_orphans
from autostop_cli.terminal import dollars, say, table

# An image holds on to its snapshot.
_ORDER = (Kind.IMAGE, Kind.SNAPSHOT, Kind.VOLUME)


def find_leftovers(account: Account) -> list[Orphan]:
    """What is left over, also of workstations that are gone. Raises TransientError, DeniedError."""
    volumes, snapshots = account.disks.find_volumes(OURS), account.disks.find_snapshots(OURS)
    images: dict[str, dict[str, str]] = {}
    for image, shape in images_where(account.ec2, OURS).items():
        images.setdefault(tags_of(shape.get("Tags")).get(tags.WORKSTATION, ""), {})[image] = shape.get("Name", "")
    there = {instance.workstation: instance for instance in account.instances.tagged()}
    things: list[Any] = [*volumes, *snapshots]
    named = {thing.tags.get(tags.WORKSTATION, "") for thing in things} | set(images)
    left: list[Orphan] = []
    for workstation in sorted(WorkstationId(name) for name in named if name):
        seen = Observation(
            workstation,
            there.get(workstation) or account.find(workstation),
            tuple(each for each in volumes if workstation in (each.attached_to, each.tags.get(tags.WORKSTATION))),
            tuple(each for each in snapshots if each.tags.get(tags.WORKSTATION) == workstation),
        )
        left += find_orphans(seen, _standing(account, workstation), images.get(workstation, {}))
    return left


def show_leftovers(left: Sequence[Orphan]) -> None:
    """Print what is left over: what may be deleted, and what may be the only copy of something."""
    plain, precious = _parted(left)
    if not left:
        say("", "Nothing is left over.")
    if plain:
        total = dollars(sum(each.cost for each in plain))
        say("", f"Left over, {total}; they hold nothing that is not elsewhere:")
        say(*(f"  {line}" for line in table([_row(each) for each in plain])))
        say("Delete them: autostop recover --delete-orphans")
    if precious:
        total = dollars(sum(each.cost for each in precious))
        say("", f"WARNING: left over, {total}, but each may be the only copy of data. This command keeps them:")
        say(*(f"  {line}" for line in table([_row(each) for each in precious])))
        say("If you are sure that you need none of it, delete them in the EC2 console.")


def delete_leftovers(account: Account, left: Sequence[Orphan], *, ask: Ask) -> None:
    """Delete what holds nothing of its own, when the owner types the word. Raises TransientError, DeniedError."""
    plain, _ = _parted(left)
    if not plain:
        return
    if not ask(f"\nDelete these {len(plain)} for ever?", "delete"):
        say("", "Nothing was deleted: that needs the word `delete`, typed at a terminal.")
        return
    # Once more: what changed since it was shown stays.
    still = find_leftovers(account)
    for orphan in sorted(plain, key=lambda each: _ORDER.index(each.kind)):
        if orphan not in still:
            say(f"{orphan.id} changed meanwhile, and stays.")
            continue
        match orphan.kind:
            case Kind.IMAGE:
                deregister(account.ec2, orphan.id)
            case Kind.SNAPSHOT:
                account.disks.delete_snapshot(SnapshotId(orphan.id))
            case Kind.VOLUME:
                account.disks.delete(VolumeId(orphan.id))
        say(f"{orphan.id} is deleted.")


def _standing(account: Account, workstation: WorkstationId) -> Standing:
    try:
        state = account.ledger.load(workstation)
    except DamagedError:
        return Standing(None, at_rest=False, ready=False)
    intent = state.intent
    ready = intent is not None and intent.wanted is Wanted.RUN and intent.settled and not state.note
    return Standing(state.manifest, at_rest=intent is None or intent.settled, ready=ready)


def _parted(left: Sequence[Orphan]) -> tuple[list[Orphan], list[Orphan]]:
    return [each for each in left if not each.precious], [each for each in left if each.precious]


def _row(orphan: Orphan) -> Sequence[str]:
    return orphan.id, dollars(orphan.cost), orphan.workstation, orphan.why
