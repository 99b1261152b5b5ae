"""What rehearsals make in EBS: snapshots and scratch volumes with a tag of their own."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from botocore.exceptions import ClientError

from autostop import tags
from autostop.aws.ec2 import EbsDisks, shapes_of
from autostop.aws.errors import aws_errors
from autostop.model import Instance, Snapshot, SnapshotId, Volume, VolumeId, WorkstationId
from autostop.ports import DeniedError
from autostop.sleep.manifest import VolumeRecord
from autostop_cli.rehearse.rehearsal import Rehearsal, is_of, stopped_mark

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef


class DirectBlocks(Protocol):
    """The client of the EBS direct APIs, as far as it is used here."""

    def list_changed_blocks(self, **parameters: Any) -> dict[str, Any]:
        """One page."""
        ...


@dataclass(frozen=True, slots=True)
class EbsScratch:
    """Scratch volumes and their snapshots, on EBS. direct: the client `ebs`."""

    client: "EC2Client"
    direct: DirectBlocks

    def volumes(self, workstation: WorkstationId) -> Sequence[Volume]:
        """By their tag."""
        return [each for each in EbsDisks(self.client).find_volumes(_by_tag(workstation)) if is_of(each, workstation)]

    def snapshots(self, workstation: WorkstationId) -> Sequence[Snapshot]:
        """By their tag."""
        return [each for each in EbsDisks(self.client).find_snapshots(_by_tag(workstation)) if is_of(each, workstation)]

    def create_snapshots(self, rehearsal: Rehearsal) -> Sequence[SnapshotId]:
        """CreateSnapshots, as for a shelving but for the tags."""
        with aws_errors():
            answer = self.client.create_snapshots(
                InstanceSpecification={"InstanceId": rehearsal.manifest.workstation},
                Description=f"autostop rehearsal {rehearsal.name}",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": shapes_of(rehearsal.set_tags())}],
            )
        return [SnapshotId(shape.get("SnapshotId", "")) for shape in answer["Snapshots"]]

    def create_volume(self, rehearsal: Rehearsal, record: VolumeRecord) -> VolumeId:
        """As a restore makes it, but for its tags."""
        disks = EbsDisks(self.client)
        return disks.create_from(record, rehearsal.token(record), rehearsal.volume_tags(record))

    def create_snapshot(self, rehearsal: Rehearsal, volume: VolumeId) -> SnapshotId:
        """CreateSnapshot: the set call takes only what is attached to an instance."""
        with aws_errors():
            answer = self.client.create_snapshot(
                VolumeId=volume,
                Description=f"autostop rehearsal {rehearsal.name}, scratch volume",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": shapes_of(rehearsal.set_tags())}],
            )
        return SnapshotId(answer["SnapshotId"])

    def changed_blocks(self, first: SnapshotId, second: SnapshotId) -> int:
        """Every page of ListChangedBlocks; a page without blocks is not the last one.

        AWS promises an answer for two snapshots of one volume, and its older pages for those of one "lineage", which
        a volume and what was made from its snapshot are; it refuses with UNRELATED_SNAPSHOTS what it cannot compare
        (EBS direct APIs reference, ListChangedBlocks and ValidationException). Which of the two it does here was
        never seen, so both are provided for.
        """
        asked: dict[str, Any] = {"FirstSnapshotId": first, "SecondSnapshotId": second}
        changed = 0
        try:
            with aws_errors():
                while True:
                    answer = self.direct.list_changed_blocks(**asked)
                    changed += len(answer.get("ChangedBlocks", ()))
                    if not answer.get("NextToken"):
                        return changed
                    asked["NextToken"] = answer["NextToken"]
        except DeniedError as error:
            raise DeniedError(_why(error)) from error.__cause__

    def mark_stopped(self, instance: Instance) -> None:
        """CreateTags."""
        with aws_errors():
            self.client.create_tags(Resources=[instance.id], Tags=shapes_of(stopped_mark(instance.launched_at)))

    def unmark(self, workstation: WorkstationId) -> None:
        """DeleteTags."""
        with aws_errors():
            self.client.delete_tags(Resources=[workstation], Tags=[{"Key": tags.REHEARSAL}])


def _by_tag(workstation: WorkstationId) -> list["FilterTypeDef"]:
    return [{"Name": f"tag:{tags.REHEARSAL}", "Values": [f"{workstation}/*"]}]


def _why(error: DeniedError) -> str:
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return str(error)
    if cause.response.get("Error", {}).get("Code") == "AccessDeniedException":
        return "needs ebs:ListChangedBlocks"
    if cause.response.get("Reason") == "UNRELATED_SNAPSHOTS":
        return "EBS does not compare a volume with what was made from its snapshot"
    return str(error)
