"""Which workstations a message of the reconciler's queue is about: our own, or an event of EC2 or EBS."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from autostop.link import parse_workstation
from autostop.model import InstanceId, WorkstationId, workstation_of


def workstations_in(body: str, workstations_of: Callable[[Sequence[str]], set[WorkstationId]]) -> set[WorkstationId]:
    """The workstations to look at. AWS's events are only a wake-up: nothing in them is believed.

    workstations_of: finds by tags whose volumes and snapshots these are. Raises ValueError for a body that is
    neither a message of ours nor an event.
    """
    message = json.loads(body)
    if not isinstance(message, dict):
        raise ValueError(f"not a message for the reconciler: {body[:100]!r}")  # noqa: TRY004 - it came as text
    if "detail-type" not in message:
        return _named(message.get("workstation"))
    detail = message.get("detail")
    if not isinstance(detail, dict):
        raise ValueError(f"an event without detail: {body[:100]!r}")  # noqa: TRY004 - it came as text
    if "instance-id" in detail:
        return {workstation_of(InstanceId(each)) for each in _named(detail["instance-id"])}
    return workstations_of(sorted(_resources(message, detail)))


def _named(text: object) -> set[WorkstationId]:
    workstation = parse_workstation(text) if isinstance(text, str) else None
    if workstation is None:
        raise ValueError(f"not a workstation: {text!r}")
    return {workstation}


def _resources(message: Mapping[str, Any], detail: Mapping[str, Any]) -> set[str]:
    """Ids of volumes and snapshots. EBS has the Region in the account's place of its ARNs, so only the end is read."""
    arns = _list(message.get("resources"))
    for part in (detail, *_list(detail.get("snapshots"))):
        if isinstance(part, dict):
            arns += [part.get("snapshot_id"), part.get("source")]
    ids = {arn.rpartition("/")[2] for arn in arns if isinstance(arn, str)}
    return {each for each in ids if each.startswith(("vol-", "snap-"))}


def _list(value: object) -> list[Any]:
    return list(value) if isinstance(value, list) else []
