"""Everything in the account that carries our tag and belongs to no workstation, found and, when asked to, deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

from autostop import tags
from autostop.model import Instance, Observation, SnapshotId, VolumeId, WorkstationId
from autostop.ports import DamagedError, Disks, Instances, Ledger
from autostop.sleep.intent import Wanted
from autostop_cli.repair.images import Ec2Builder, Ec2Estate
from autostop_cli.repair.orphans import Kind, Orphan, Standing, find_orphans

# An image holds on to its snapshot.
_ORDER = (Kind.IMAGE, Kind.SNAPSHOT, Kind.VOLUME)


@dataclass(frozen=True, slots=True)
class Orphans:
    """Everything that it works with."""

    instances: Instances
    disks: Disks
    estate: Ec2Estate
    builder: Ec2Builder
    ledger: Ledger

    def find(self) -> Sequence[Orphan]:
        """What is left over, and whose workstations are gone. Raises TransientError, DeniedError."""
        volumes, snapshots, images = self.estate.volumes(), self.estate.snapshots(), self.estate.images()
        there = {instance.id: instance for instance in self.instances.tagged()}
        carried = [*(each.tags for each in volumes), *(each.tags for each in snapshots)]
        named = {each.get(tags.WORKSTATION, "") for each in carried} | set(images)
        found: list[Orphan] = []
        for workstation in sorted(WorkstationId(each) for each in named if each):
            seen = Observation(
                workstation,
                self._instance(workstation, there),
                tuple(each for each in volumes if workstation in (each.attached_to, each.tags.get(tags.WORKSTATION))),
                tuple(each for each in snapshots if each.tags.get(tags.WORKSTATION) == workstation),
            )
            found += find_orphans(seen, self._standing(workstation), images.get(workstation, {}))
        return found

    def delete(self, orphans: Sequence[Orphan]) -> Sequence[Orphan]:
        """Delete those that are still left over and hold nothing of their own; gives what was deleted.

        What changed since it was shown stays. Raises TransientError, DeniedError.
        """
        still = {(each.kind, each.id): each for each in self.find() if not each.precious}
        agreed = [each for each in orphans if not each.precious and still.get((each.kind, each.id)) == each]
        for orphan in sorted(agreed, key=lambda each: _ORDER.index(each.kind)):
            match orphan.kind:
                case Kind.IMAGE:
                    self.builder.deregister(orphan.id)
                case Kind.SNAPSHOT:
                    self.disks.delete_snapshot(SnapshotId(orphan.id))
                case Kind.VOLUME:
                    self.disks.delete(VolumeId(orphan.id))
        return agreed

    def _instance(self, workstation: WorkstationId, there: dict[WorkstationId, Instance]) -> Instance | None:
        return there.get(workstation) or self.instances.find(workstation)

    def _standing(self, workstation: WorkstationId) -> Standing:
        try:
            state = self.ledger.load(workstation)
        except DamagedError:
            return Standing(None, at_rest=False, ready=False)
        intent = state.intent
        ready = intent is not None and intent.wanted is Wanted.RUN and intent.settled and not state.note
        return Standing(state.manifest, at_rest=intent is None or intent.settled, ready=ready)
