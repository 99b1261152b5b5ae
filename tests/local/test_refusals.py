"""What the world was told to refuse, for as long as that holds."""

import pytest

from autostop_local.world import AwsError
from autostop_local.world.wire import Asked
from tests.local.conftest import START, Desk, Refused


def test_an_operation_is_refused_until_that_is_lifted(desk: Desk, refused: Refused) -> None:
    snapshot_id = desk.snapshot(desk.volume())
    desk.world.refuse("DeleteSnapshot", "InvalidSnapshot.InUse", "locked")

    for _ in range(3):
        assert refused(desk.ec2.delete_snapshot, SnapshotId=snapshot_id) == ("InvalidSnapshot.InUse", "locked")
        desk.wait(3600)
    desk.world.allow("DeleteSnapshot")
    desk.ec2.delete_snapshot(SnapshotId=snapshot_id)


def test_a_policy_of_the_organisation_denies_in_the_words_of_each_service(desk: Desk, refused: Refused) -> None:
    desk.world.forbid("DescribeInstances")
    desk.world.forbid("SendCommand", service="ssm")
    desk.world.forbid("GetMetricData", service="cloudwatch")
    desk.world.forbid("PutItem", service="dynamodb")

    code, message = refused(desk.ec2.describe_instances)
    assert (code, "explicit deny in a service control policy" in message) == ("UnauthorizedOperation", True)
    assert refused(desk.ssm.send_command, DocumentName="AWS-RunShellScript")[0] == "AccessDeniedException"
    asked = {"MetricDataQueries": [], "StartTime": START, "EndTime": START}
    assert refused(desk.cloudwatch.get_metric_data, **asked)[0] == "AccessDenied"
    # Of a service that the world does not have, whoever has it asks.
    with pytest.raises(AwsError) as caught:
        desk.world.check(Asked("dynamodb", "PutItem", {}))
    assert caught.value.code == "AccessDeniedException"
    desk.world.allow()
    desk.ec2.describe_instances()
    desk.world.check(Asked("dynamodb", "PutItem", {}))
