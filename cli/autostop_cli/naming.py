"""Workstations by their names: the `Name` tag of the instance."""

import re
from collections.abc import Mapping

from autostop.aws.errors import aws_errors
from autostop.harmless import harmless
from autostop.link import parse_workstation
from autostop.model import WorkstationId
from autostop.tags import is_ours
from autostop_cli.account import Account

_THERE = ("pending", "running", "stopping", "stopped")
# A filter takes these for wildcards, or for what takes a wildcard's meaning away.
_SPECIAL = re.compile(r"[*?\\]")


def workstation_called(account: Account, text: str) -> WorkstationId:
    """The workstation that an id or a name means; of several of one name, the one that is adopted.

    Raises LookupError that says which there are, TransientError, DeniedError.
    """
    if (workstation := parse_workstation(text)) is not None:
        return workstation
    alike = instances_where(account, {"tag:Name": [_SPECIAL.sub("?", text)], "instance-state-name": list(_THERE)})
    named = {id_: tags for id_, tags in alike.items() if tags["Name"] == text}
    found = [id_ for id_, tags in named.items() if is_ours(tags)] or list(named)
    if not found:
        there = [f"{harmless(each.name)} ({each.id})" for each in account.workstations()]
        raise LookupError(f"is no instance's id or name here. The workstations: {', '.join(there) or 'none'}")
    if len(found) > 1:
        raise LookupError(f"is the name of several; give the id: {', '.join(found)}")
    return WorkstationId(found[0])


def instances_where(account: Account, filters: Mapping[str, list[str]]) -> Mapping[str, Mapping[str, str]]:
    """The tags of all instances that fit, by id. Raises TransientError, DeniedError."""
    pages = account.ec2.get_paginator("describe_instances")
    with aws_errors():
        return {
            instance["InstanceId"]: {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
            for page in pages.paginate(Filters=[{"Name": key, "Values": value} for key, value in filters.items()])
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }
