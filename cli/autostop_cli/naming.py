"""Which workstation is meant: by its id, or by the `Name` tag of its instance."""

import re
from collections.abc import Mapping
from typing import Final

from autostop.aws.ec2 import tags_of
from autostop.aws.errors import aws_errors
from autostop.harmless import harmless
from autostop.link import parse_workstation
from autostop.misspelt_tags import why_not_adopted
from autostop.model import Instance, WorkstationId
from autostop.ports import DamagedError
from autostop.tags import is_ours
from autostop_cli.account import Account
from autostop_cli.terminal import FailedError

_THERE: Final = ["pending", "running", "stopping", "stopped"]
# A filter takes these for wildcards, or for what takes a wildcard's meaning away.
_SPECIAL = re.compile(r"[*?\\]")


def workstation_called(account: Account, text: str) -> WorkstationId:
    """The workstation that an id or a name means; of several of one name, the one that is adopted.

    Raises LookupError that says which there are, TransientError, DeniedError.
    """
    if (workstation := parse_workstation(text)) is not None:
        return workstation
    alike = instances_with(account, "Name", _SPECIAL.sub("?", text))
    named = {id_: tags for id_, tags in alike.items() if tags["Name"] == text}
    found = [id_ for id_, tags in named.items() if is_ours(tags)] or list(named)
    if not found:
        there = [f"{harmless(each.name)} ({each.id})" for each in account.workstations()]
        raise LookupError(f"is no instance's id or name here. The workstations: {', '.join(there) or 'none'}")
    if len(found) > 1:
        raise LookupError(f"is the name of several; give the id: {', '.join(found)}")
    return WorkstationId(found[0])


def known_instance(account: Account, workstation: WorkstationId) -> Instance:
    """Raises FailedError when EC2 does not know it."""
    instance = account.find(workstation)
    if instance is None:
        where = f"{workstation} in {account.region}"
        raise FailedError(f"EC2 knows no instance {where}. Check the id, --region and --profile.")
    return instance


def adopted(account: Account, workstation: WorkstationId) -> Instance:
    """Its instance. Raises FailedError when EC2 does not know it or nobody adopted it."""
    instance = known_instance(account, workstation)
    if not is_ours(instance.tags):
        why = "".join(f" Its {problem}" for problem in filter(None, [why_not_adopted(instance.tags)]))
        raise FailedError(f"{workstation} is not adopted.{why} Run `autostop adopt {workstation}` first.")
    return instance


def refuse_unknown(account: Account, workstation: WorkstationId) -> None:
    """Raises FailedError for what is no workstation; one with a history is told of even when it is gone."""
    try:
        known = account.ledger.load(workstation).intent is not None
    except DamagedError:
        known = True
    if not known:
        adopted(account, workstation)


def instances_with(account: Account, tag: str, value: str) -> Mapping[str, Mapping[str, str]]:
    """The tags of all instances that are there and carry this one, by id. Raises TransientError, DeniedError."""
    pages = account.ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": f"tag:{tag}", "Values": [value]}, {"Name": "instance-state-name", "Values": _THERE}]
    )
    with aws_errors():
        return {
            instance["InstanceId"]: tags_of(instance["Tags"])
            for page in pages
            for reservation in page["Reservations"]
            for instance in reservation["Instances"]
        }
