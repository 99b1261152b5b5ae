"""Valid values of the domain to start a test from: each function gives one, with whatever the test says otherwise.

The workstation is `i-0abc`, with a root volume `vol-root` at /dev/xvda and a data volume `vol-data` at /dev/sdf. It was
launched at `LAUNCHED`, stopped at `STOPPED`; the snapshots `snap-root` and `snap-data` of cycle 1 came after.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from autostop import tags
from autostop.idle.reading import Machine, Reading, Server
from autostop.model import (
    AttachmentState,
    Checks,
    Instance,
    InstanceState,
    Jupyter,
    Observation,
    Snapshot,
    SnapshotId,
    SnapshotState,
    Volume,
    VolumeId,
    VolumeState,
    WorkstationId,
)
from autostop.sleep.intent import By, Intent, Wanted
from autostop.sleep.manifest import Manifest, VolumeRecord

ID = WorkstationId("i-0abc")
ROOT, DATA = "/dev/xvda", "/dev/sdf"
LAUNCHED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
STOPPED = datetime(2026, 3, 2, 18, 30, tzinfo=UTC)
NOW = STOPPED + timedelta(minutes=10)

OURS = {tags.AUTOSTOP: tags.ON, tags.WORKSTATION: str(ID)}


def row(name: str, *values: object) -> Any:
    """A row of a parametrised table, its name first."""
    return pytest.param(*values, id=name)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def instance(state: InstanceState = InstanceState.STOPPED, **other: Any) -> Instance:
    """A stopped On-Demand instance that nothing forbids to stop or shelve."""
    fields: dict[str, Any] = {
        "id": ID, "state": state, "launched_at": LAUNCHED, "type": "m7g.xlarge", "vcpus": 4, "zone": "eu-west-1a",
        "root_device": ROOT, "tags": {tags.AUTOSTOP: tags.ON, "Name": "lab"},
        "stopped_at": STOPPED if state is InstanceState.STOPPED else None,
    }  # fmt: skip
    return Instance(**{**fields, **other})


def volume(at: str = ROOT, **other: Any) -> Volume:
    """An adopted volume, attached at its device."""
    fields: dict[str, Any] = {
        "id": VolumeId("vol-root" if at == ROOT else "vol-data"), "state": VolumeState.IN_USE,
        "size_gib": 50 if at == ROOT else 500, "type": "gp3", "zone": "eu-west-1a",
        "tags": {**OURS, tags.DEVICE: at, "Project": "genome"}, "iops": 3000, "throughput": 125, "encrypted": True,
        "kms_key": "arn:aws:kms:eu-west-1:1:key/k", "attached_to": ID, "device": at,
        "attachment": AttachmentState.ATTACHED, "delete_on_termination": at == ROOT,
    }  # fmt: skip
    return Volume(**{**fields, **other})


def detached(each: Volume, state: VolumeState = VolumeState.AVAILABLE) -> Volume:
    """The same volume, attached to nothing."""
    return replace(each, state=state, attached_to=None, device=None, attachment=None, delete_on_termination=None)


def gone(each: Volume) -> Volume:
    """The same volume while EBS deletes it."""
    return detached(each, VolumeState.DELETING)


def both(**other: Any) -> tuple[Volume, Volume]:
    """The root and the data volume."""
    return volume(ROOT, **other), volume(DATA, **other)


def record(device: str = ROOT, **other: Any) -> VolumeRecord:
    """The record of the volume that `volume` gives."""
    fields: dict[str, Any] = {
        "device": device, "volume": VolumeId("vol-root" if device == ROOT else "vol-data"),
        "size_gib": 50 if device == ROOT else 500, "type": "gp3", "zone": "eu-west-1a",
        "delete_on_termination": device == ROOT, "iops": 3000, "throughput": 125, "encrypted": True,
        "kms_key": "arn:aws:kms:eu-west-1:1:key/k", "own_tags": {"Project": "genome"},
        "snapshot": SnapshotId("snap-root" if device == ROOT else "snap-data"),
    }  # fmt: skip
    return VolumeRecord(**{**fields, **other})


def manifest(**other: Any) -> Manifest:
    """The manifest of cycle 1, written after the last stop, with its snapshots known."""
    fields: dict[str, Any] = {
        "workstation": ID, "cycle": 1, "attempt": 1, "intent": 1, "launched_at": LAUNCHED, "stopped_at": STOPPED,
        "written_at": STOPPED + minutes(1), "volumes": (record(ROOT), record(DATA)),
    }  # fmt: skip
    return Manifest(**{**fields, **other})


def unknown_snapshots(**other: Any) -> Manifest:
    """The manifest before its snapshots are known."""
    return manifest(**other).with_snapshots({})


def snapshot(device: str = ROOT, of: Manifest | None = None, **other: Any) -> Snapshot:
    """A complete snapshot of cycle 1 that carries its manifest."""
    of = of or manifest()
    fields: dict[str, Any] = {
        "id": SnapshotId("snap-root" if device == ROOT else "snap-data"),
        "volume": VolumeId("vol-root" if device == ROOT else "vol-data"), "state": SnapshotState.COMPLETED,
        "started_at": STOPPED + minutes(2), "size_gib": 50 if device == ROOT else 500,
        "tags": of.snapshot_tags(next(each for each in of.volumes if each.device == device)), "progress": 100,
    }  # fmt: skip
    return Snapshot(**{**fields, **other})


def snapshots(of: Manifest | None = None, **other: Any) -> tuple[Snapshot, Snapshot]:
    """The complete set of cycle 1."""
    return snapshot(ROOT, of, **other), snapshot(DATA, of, **other)


def restored(device: str = ROOT, of: Manifest | None = None, **other: Any) -> Volume:
    """A volume that was made from the snapshot of cycle 1, attached at its device; an attachment forgets the flag."""
    of = of or manifest()
    from_record = next(each for each in of.volumes if each.device == device)
    fields: dict[str, Any] = {
        "id": VolumeId("vol-root-2" if device == ROOT else "vol-data-2"),
        "snapshot": from_record.snapshot,
        "tags": of.volume_tags(from_record),
        "delete_on_termination": False,
    }
    return volume(device, **{**fields, **other})


def seen(**other: Any) -> Observation:
    """The stopped workstation with both volumes in their places, no snapshots, and nobody asking Jupyter."""
    fields: dict[str, Any] = {
        "workstation": ID, "instance": instance(), "volumes": both(), "checks": Checks.OK, "jupyter": Jupyter.NOT_ASKED,
    }  # fmt: skip
    return Observation(**{**fields, **other})


def intent(wanted: Wanted, **other: Any) -> Intent:
    """Intent 1 of the owner, not reached yet."""
    fields: dict[str, Any] = {"number": 1, "wanted": wanted, "by": By.OWNER, "at": STOPPED, "why": "a test"}
    return Intent(**{**fields, **other})


def server(**other: Any) -> Server:
    """A Jupyter server without kernels and terminals."""
    fields: dict[str, Any] = {
        "port": 8888, "busy": 0, "idle": 0, "starting": 0, "other": 0, "kernel_active_at": None, "terminals": 0,
        "terminal_active_at": None,
    }  # fmt: skip
    return Server(**{**fields, **other})


def reading(at: datetime, *servers: Server) -> Reading:
    return Reading(at, servers or (server(),))


def machine(**other: Any) -> Machine:
    """A machine on which nothing happens."""
    fields: dict[str, Any] = {
        "boot": "b007b007", "cpu": {"all": 100.0}, "typed_at": None, "jobs": 0, "job": "", "gpu_percent": None,
        "logins": 0, "editors": 0, "edited_at": None, "multiplexers": 0, "held": False,
    }  # fmt: skip
    return Machine(**{**fields, **other})
