"""Leases: who holds one works alone, and who finds it taken knocks, so that the holder looks once more."""

from datetime import UTC, datetime, timedelta

from autostop.aws.errors import AlreadySo, aws_errors
from autostop.aws.table import Table, expiry, key
from autostop.model import WorkstationId

_LEASE = "lease"
_LEASE_GOES = timedelta(days=1)


class Leases(Table):
    """An item for each, of its own, so that no lease disturbs the versions of the state."""

    def take_lease(self, workstation: WorkstationId, holder: str, now: datetime, until: datetime) -> bool:
        """True when it is the holder's, until that moment; whose time is over may lose it to another."""
        return self._put(
            key(workstation, _LEASE)
            | {
                "holder": {"S": holder},
                "until": {"N": str(until.timestamp())},
                "expires_at": expiry(until, _LEASE_GOES),
            },
            ConditionExpression="attribute_not_exists(workstation) OR #until < :now OR holder = :holder",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":now": {"N": str(now.timestamp())}, ":holder": {"S": holder}},
        )

    def knock(self, workstation: WorkstationId) -> datetime | None:
        """An attribute of the lease; the first of those who find it taken sets it, so the others leave no trace."""
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            answer = self.client.update_item(
                TableName=self.table,
                Key=key(workstation, _LEASE),
                UpdateExpression="SET knocked = :yes",
                ConditionExpression="attribute_exists(workstation) AND attribute_not_exists(knocked)",
                ExpressionAttributeValues={":yes": {"BOOL": True}},
                ReturnValues="ALL_NEW",
            )
            return datetime.fromtimestamp(float(answer["Attributes"]["until"]["N"]), UTC)
        return None

    def give_lease_back(self, workstation: WorkstationId, holder: str, *, unless_knocked: bool = False) -> bool:
        """Delete the lease; a lease that is taken anew, by its holder too, has no knock on it."""
        condition = "holder = :holder AND attribute_not_exists(knocked)" if unless_knocked else "holder = :holder"
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.delete_item(
                TableName=self.table,
                Key=key(workstation, _LEASE),
                ConditionExpression=condition,
                ExpressionAttributeValues={":holder": {"S": holder}},
            )
            return True
        return not unless_knocked
