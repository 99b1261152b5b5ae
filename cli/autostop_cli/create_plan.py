"""The plan of a machine that `create` makes: it stands in the table before the machine is asked for."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from autostop.aws.errors import AlreadySo, aws_errors

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_PLANS = "plans"


@dataclass(frozen=True, slots=True)
class Plan:
    """request: RunInstances' parameters, whole, so that any version of the command repeats the very same request.

    Its user data is in base64. instance: what came of it. linked: its owner was shown a link. removed: by
    `uninstall`, while its data stays. host_keys: the machine's, by which ssh knows it again.
    """

    name: str
    request: Mapping[str, Any]
    instance: str = ""
    linked: bool = False
    removed: bool = False
    host_keys: Sequence[str] = ()

    @property
    def token(self) -> str:
        """By which EC2 knows the request again."""
        return str(self.request["ClientToken"])


@dataclass(frozen=True, slots=True)
class Plans:
    """Those in the table. Every method may raise TransientError or DeniedError."""

    client: "DynamoDBClient"
    table: str

    def find(self, name: str) -> Plan | None:
        with aws_errors():
            answer = self.client.get_item(TableName=self.table, Key=_key(name), ConsistentRead=True)
        return _read(answer["Item"]) if "Item" in answer else None

    def all(self) -> list[Plan]:
        asked: Any = {
            "KeyConditionExpression": "workstation = :plans",
            "ExpressionAttributeValues": {":plans": {"S": _PLANS}},
        }
        with aws_errors():
            pages = self.client.get_paginator("query").paginate(TableName=self.table, **asked)
            return [_read(item) for page in pages for item in page["Items"]]

    def put(self, plan: Plan, instead_of: Plan | None) -> Plan:
        """Write it where what stands there is `instead_of`; of two writers both go on with what the first wrote."""
        condition: dict[str, Any] = {"ConditionExpression": "attribute_not_exists(workstation)"}
        if instead_of is not None:
            values = {":token": {"S": instead_of.token}}
            condition = {"ConditionExpression": "client_token = :token", "ExpressionAttributeValues": values}
        item = _key(plan.name) | {"client_token": {"S": plan.token}, "document": {"S": json.dumps(asdict(plan))}}
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.put_item(TableName=self.table, Item=item, **condition)
            return plan
        return self.find(plan.name) or plan

    def drop(self, plan: Plan) -> None:
        """Forget it, if it is still the one."""
        with aws_errors(), AlreadySo("ConditionalCheckFailedException"):
            self.client.delete_item(
                TableName=self.table,
                Key=_key(plan.name),
                ConditionExpression="client_token = :token",
                ExpressionAttributeValues={":token": {"S": plan.token}},
            )


def _key(name: str) -> dict[str, Any]:
    return {"workstation": {"S": _PLANS}, "kind": {"S": name}}


def _read(item: Mapping[str, Any]) -> Plan:
    """What a newer version wrote beside it is left out."""
    document = json.loads(item["document"]["S"])
    return Plan(**{name: document[name] for name in Plan.__slots__ if name in document})
