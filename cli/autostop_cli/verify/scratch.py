"""What verifications make in EBS: scratch volumes, and a snapshot of each, with a tag of their own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from autostop import tags
from autostop.aws.ebs import EbsDisks
from autostop.aws.ec2 import shapes_of
from autostop.aws.errors import aws_errors
from autostop.model import Snapshot, SnapshotId, Volume, VolumeId, WorkstationId
from autostop.ports import DeniedError
from autostop.sleep.manifest import VolumeRecord
from autostop_cli.verify.worth import Verification, is_of

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef


@dataclass(frozen=True, slots=True)
class EbsScratch:
    """Scratch volumes and their snapshots, on EBS. direct: the client `ebs`, of the EBS direct APIs."""

    client: "EC2Client"
    direct: Any

    def volumes(self, workstation: WorkstationId) -> Sequence[Volume]:
        return [each for each in EbsDisks(self.client).find_volumes(_by_tag(workstation)) if is_of(each, workstation)]

    def snapshots(self, workstation: WorkstationId) -> Sequence[Snapshot]:
        return [each for each in EbsDisks(self.client).find_snapshots(_by_tag(workstation)) if is_of(each, workstation)]

    def owners(self, snapshots: Sequence[SnapshotId]) -> Mapping[SnapshotId, str]:
        """The accounts whose these are; of all that this one may see. By filter, so that a missing one is no error."""
        with aws_errors():
            pages = self.client.get_paginator("describe_snapshots").paginate(
                Filters=[{"Name": "snapshot-id", "Values": list(snapshots)}]
            )
            shapes = [shape for page in pages for shape in page["Snapshots"]]
        return {SnapshotId(shape.get("SnapshotId", "")): shape.get("OwnerId", "") for shape in shapes}

    def create_volume(self, verification: Verification, record: VolumeRecord) -> VolumeId:
        """As a restore makes it, but for its tags."""
        carried = {**(record.own_tags or {}), **verification.tags}
        return EbsDisks(self.client).create_from(record, verification.token(record), carried)

    def create_snapshot(self, verification: Verification, volume: VolumeId) -> SnapshotId:
        """CreateSnapshot: the set call takes only what is attached to an instance."""
        with aws_errors():
            answer = self.client.create_snapshot(
                VolumeId=volume,
                Description=f"autostop verification {verification.name}, scratch volume",
                TagSpecifications=[{"ResourceType": "snapshot", "Tags": shapes_of(verification.tags)}],
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


def _by_tag(workstation: WorkstationId) -> list["FilterTypeDef"]:
    return [{"Name": f"tag:{tags.VERIFICATION}", "Values": [f"{workstation}/*"]}]


def _why(error: DeniedError) -> str:
    cause = error.__cause__
    if not isinstance(cause, ClientError):
        return str(error)
    if cause.response.get("Error", {}).get("Code") == "AccessDeniedException":
        return "it needs ebs:ListChangedBlocks"
    if cause.response.get("Reason") == "UNRELATED_SNAPSHOTS":
        return "EBS does not compare a volume with what was made from its snapshot"
    return str(error)
