"""`make denied`: what AWS refuses for good, one thing at a time, over two nights, their mornings and the days after.

Of each it is asked, while it still holds: is everything safe, was the machine judged and did it stop where it could,
did it wake where it could, and was somebody told of what could not be done.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from tests.simulation import rest
from tests.simulation.account import Call
from tests.simulation.lab import Lab
from tests.simulation.oracle import LawBrokenError
from tests.simulation.weather import Planned

_ROOT = "/dev/sda1"
_DISKS = {
    _ROOT: {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True},
    "/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 200, "Iops": 4000, "DeleteOnTermination": True, "Encrypted": True},
}
_WORKS_FOR = timedelta(minutes=15)
_ASLEEP_WITHIN, _AWAKE_WITHIN = timedelta(hours=6), timedelta(hours=1)
_DAYS_AFTER = timedelta(days=2, hours=12)
_NIGHTS = 2
# A calm story of two nights takes 4,700; one that looks again with each sweep, ten times as many.
_MOST_CALLS = 60_000


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that AWS refuses from now on.

    stays_awake, stays_asleep: it cannot stop, or cannot wake, meanwhile. blinds: nobody can tell whether it is at work.
    end: takes back what `History` does not take back after every night.
    """

    begin: Callable[[Lab], object]
    stays_awake: bool = False
    stays_asleep: bool = False
    blinds: bool = False
    end: Callable[[Lab], object] = lambda _lab: None


def _refused(operation: str, code: str, message: str = "") -> Callable[[Lab], object]:
    return lambda lab: lab.world.refuse(operation, code, message)


def _register_images(lab: Lab) -> None:
    """The owner makes an image of each night's snapshot, in the morning."""

    def register(call: Call) -> None:
        if call.operation == "StartInstances":
            lab.hub.at(lab.clock() + timedelta(minutes=5), lab.register_image)

    lab.on_call.append(register)


def _protect(lab: Lab, *, protected: bool = True) -> None:
    lab.person("ModifyInstanceAttribute", InstanceId=lab.workstation, DisableApiStop={"Value": protected})


def _lost_commands(ended: str | None) -> Callable[[Lab], object]:
    return lambda lab: lab.world.lose_commands(lab.workstation, ended)


def _many_tags(lab: Lab) -> None:
    """As many tags on the root as a volume can have: ours do not fit onto its snapshot beside them."""
    root = lab.world.cloud.instances[lab.workstation].volumes.get(_ROOT)
    if root is not None:
        have = len(lab.world.cloud.volumes[root].tags)
        lab.person("CreateTags", Resources=[root], Tags=[{"Key": f"own{n}", "Value": "x"} for n in range(50 - have)])
        lab.retagged(_ROOT)


def _few_tags(lab: Lab) -> None:
    for volume in lab.disks_there():
        many = [{"Key": key} for key in volume.tags if key.startswith("own")]
        if many:
            lab.person("DeleteTags", Resources=[volume.id], Tags=many)
    lab.retagged(_ROOT)


_NOT_SEEN = frozenset({"DescribeInstances", "DescribeVolumes", "DescribeSnapshots"})
_UNKNOWN = frozenset({"SendCommand", "ListCommandInvocations", "GetMetricData"})
# What forbids a stop must be known before, and who is not warned is not stopped.
_CANNOT_STOP = _UNKNOWN | {
    "DescribeInstanceAttribute", "DescribeInstanceTypes", "DescribeInstances", "PutEvents", "SendMessage",
    "StopInstances",
}  # fmt: skip
_CANNOT_WAKE = _NOT_SEEN | {"StartInstances", "CreateVolume", "AttachVolume", "SendMessage"}

_SEEDS_DENY = {
    "ec2": (
        "AttachVolume", "CreateSnapshots", "CreateTags", "CreateVolume", "DeleteSnapshot", "DeleteVolume",
        "DescribeInstanceStatus", "DetachVolume", "ModifyInstanceAttribute", "StartInstances", "StopInstances",
    ),
    "ssm": ("ListCommandInvocations", "SendCommand"),
    "cloudwatch": ("GetMetricData",),
    "events": ("PutEvents",),
}  # fmt: skip

# What public issues, logs and AWS's pages have of each call, in AWS's words where they are known: it is said for good.
_AWAKE, _ASLEEP = "stays awake", "stays asleep"
_TEXTS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "StopInstances": (
        ("IncorrectInstanceState", "This instance is not in a state from which it can be stopped.", _AWAKE),
        ("UnsupportedOperation", "You can't stop the Spot Instance, which is of a one-time request", _AWAKE),
    ),
    "StartInstances": (
        ("VcpuLimitExceeded", "You have requested more vCPU capacity than your current limit allows", _ASLEEP),
        ("Unsupported", "The requested configuration is currently not supported.", _ASLEEP),
        ("IncorrectSpotRequestState", "The Spot request is cancelled.", _ASLEEP),
    ),
    "CreateSnapshots": (
        ("SnapshotLimitExceeded", "", ""),
        ("PendingSnapshotLimitExceeded", "", ""),
        ("ConcurrentSnapshotLimitExceeded", "Maximum allowed in-progress snapshots exceeded.", ""),
        ("SnapshotCreationPerVolumeRateExceeded", "The maximum per volume CreateSnapshot request rate", ""),
    ),
    "DetachVolume": (
        ("IncorrectState", "Unable to detach root volume", ""),
        ("UnsupportedOperationException", "The volume is managed by another service", ""),
    ),
    "DeleteVolume": (("VolumeInUse", "Volume is currently attached", ""),),
    "CreateVolume": (
        ("VolumeLimitExceeded", "", _ASLEEP),
        ("MaxIOPSLimitExceeded", "", _ASLEEP),
        ("InsufficientVolumeCapacity", "", _ASLEEP),
        ("VolumeTypeNotAvailableInZone", "", _ASLEEP),
        ("CustomerKeyHasBeenRevoked", "", _ASLEEP),
        ("InvalidParameterValue", "Iops to volume size ratio of 750.000000 is too high; maximum is 500", _ASLEEP),
    ),
    "AttachVolume": (
        ("AttachmentLimitExceeded", "", _ASLEEP),
        ("InvalidParameterValue", "Attachment point /dev/sdf is already in use", _ASLEEP),
        ("IncorrectState", "Instance is not 'running'.", _ASLEEP),
    ),
    "ModifyInstanceAttribute": (("InvalidInstanceAttributeValue", "No device is currently mapped at /dev/sdf", ""),),
    "CreateTags": (("TagLimitExceeded", "You have reached the maximum number of tags", ""),),
    "DeleteSnapshot": (
        ("InvalidParameterValue", "This snapshot is managed by the AWS Backup service", ""),
        ("InvalidSnapshot.InUse", "The snapshot is currently enabled for fast restores", ""),
        ("OperationNotPermitted", "The snapshot is locked", ""),
    ),
    "SendCommand": (("ThrottlingException", "Rate exceeded", _AWAKE), ("InvalidInstanceId", "", _AWAKE)),
    "GetMetricData": (("Throttling", "Rate exceeded", _AWAKE),),
}

CONDITIONS: Mapping[str, Condition] = {
    **{
        f"{operation} {code}": Condition(
            _refused(operation, code, message), how == _AWAKE, how == _ASLEEP, operation in _UNKNOWN
        )
        for operation, texts in _TEXTS.items()
        for code, message, how in texts
    },
    "images of the nights": Condition(_register_images, end=lambda lab: lab.on_call.clear()),
    "no capacity": Condition(lambda lab: lab.world.lack_capacity(("m5.xlarge",)), stays_asleep=True),
    "a forbidden key": Condition(lambda lab: lab.world.forbid_key(), stays_asleep=True),
    "snapshots end in error": Condition(lambda lab: lab.world.fail_next_snapshots(10_000)),
    "volumes end in error": Condition(lambda lab: lab.world.fail_next_volumes(10_000), stays_asleep=True),
    "starts fall back": Condition(lambda lab: lab.world.fail_next_boots(10_000), stays_asleep=True),
    "impaired checks": Condition(lambda lab: lab.world.fail_checks(lab.workstation)),
    "insufficient data": Condition(lambda lab: lab.world.fail_checks(lab.workstation, "insufficient-data")),
    "a stop that hangs": Condition(
        lambda lab: lab.world.hang_stops(lab.workstation), stays_awake=True, stays_asleep=True
    ),
    "the agent is lost": Condition(lambda lab: lab.world.break_agent(lab.workstation), stays_awake=True, blinds=True),
    "Undeliverable": Condition(_lost_commands("Undeliverable"), True, blinds=True, end=_lost_commands(None)),
    "DeliveryTimedOut": Condition(_lost_commands("DeliveryTimedOut"), True, blinds=True, end=_lost_commands(None)),
    "metrics are lost": Condition(lambda lab: lab.world.lose_metrics(lab.workstation), stays_awake=True, blinds=True),
    "the probe fails": Condition(lambda lab: setattr(lab.answers, "fails", True), stays_awake=True, blinds=True),
    "stop protection": Condition(_protect, stays_awake=True, end=lambda lab: _protect(lab, protected=False)),
    "a Marketplace code": Condition(
        lambda lab: lab.world.mark_marketplace(lab.workstation, "abc"),
        end=lambda lab: lab.world.mark_marketplace(lab.workstation, None),
    ),
    "too many tags": Condition(_many_tags, end=_few_tags),
}


@dataclass
class Night:
    """How it went. wrong: in words; each begins with its kind."""

    name: str
    stopped: int = 0
    woken: int = 0
    notices: Mapping[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    calls: int = 0


def denials() -> dict[str, Condition]:
    """Each call of the product that comes up in two calm nights, denied by a policy."""
    lab = _lab()
    seen: dict[str, str] = {}

    def note(call: Call) -> None:
        seen.setdefault(call.operation, call.service)

    lab.on_call.append(note)
    try:
        _live(lab, Night(""))
    finally:
        lab.close()
    return {_denied(operation, service): denial(operation, service) for operation, service in sorted(seen.items())}


def denial(operation: str, service: str) -> Condition:
    """One call denied by a policy."""
    none = service == "dynamodb"  # without its table Autostop knows nothing
    awake, asleep = none or operation in _CANNOT_STOP, none or operation in _CANNOT_WAKE
    return Condition(lambda lab: lab.world.forbid(operation, service=service), awake, asleep, operation in _UNKNOWN)


def _denied(operation: str, service: str) -> str:
    return f"{service}:{operation} denied"


# For the seeds of the simulation: those with which Autostop can still do something.
FOR_GOOD: Mapping[str, Condition] = {
    **CONDITIONS,
    **{
        _denied(operation, service): denial(operation, service)
        for service, operations in _SEEDS_DENY.items()
        for operation in operations
    },
}


def endure(name: str, condition: Condition) -> Night:
    """Two nights and the days after, with a condition that holds all the time."""
    lab, night = _lab(), Night(name)
    try:
        lab.pass_time(timedelta(minutes=2))
        condition.begin(lab)
        _live(lab, night)
    except LawBrokenError as error:
        night.wrong.append(f"law: {error}")
    except rest.StuckError as error:
        night.wrong.append(str(error))
    finally:
        lab.close()
    night.wrong += [f"error: {each}" for each in dict.fromkeys(lab.unexpected)]
    night.wrong += lab.vigil.problems.values()
    if night.stopped < _NIGHTS and not condition.stays_awake:
        night.wrong.append(f"awake: it stopped in {night.stopped} of {_NIGHTS} nights")
    if night.woken < _NIGHTS and not condition.stays_asleep:
        night.wrong.append(f"asleep: it woke on {night.woken} of {_NIGHTS} mornings")
    told = [each for each in lab.vigil.told if each.kind != "stops-soon"]
    night.notices = {each.kind: each.text for each in told}
    if min(night.stopped, night.woken) < _NIGHTS and not told:
        night.wrong.append("untold: nobody was told that it cannot stop, or cannot wake")
    night.calls = lab.account.calls
    return night


def _lab() -> Lab:
    settings = {"idle-after": "20m", "grace": "5m", "shelve-after": "0"}
    lab = Lab(1, disks=_DISKS, weather=Planned(), settings=settings)

    def write() -> None:
        if lab.account.calls > _MOST_CALLS:
            raise rest.StuckError(f"hot: {lab.account.calls} calls by {lab.clock():%d %H:%M}: {rest.told_state(lab)}")
        lab.oracle.write()
        lab.hub.at(lab.clock() + timedelta(minutes=3), write)

    write()
    return lab


def _live(lab: Lab, night: Night) -> None:
    for _ in range(_NIGHTS):
        _work(lab)
        night.stopped += lab.pass_time(_ASLEEP_WITHIN, lambda: lab.ec2_state() == "stopped")
        lab.pass_time(_ASLEEP_WITHIN)
        lab.tap("start")
        lab.pass_time(timedelta(minutes=1))
        night.woken += lab.pass_time(_AWAKE_WITHIN, lambda: lab.ec2_state() == "running")
    _work(lab)
    lab.pass_time(_DAYS_AFTER)


def _work(lab: Lab) -> None:
    until = lab.clock() + _WORKS_FOR
    while lab.clock() < until:
        if lab.ec2_state() == "running":
            lab.answers.used_at = lab.oracle.activity.last_work = lab.clock()
        lab.pass_time(timedelta(minutes=1))


def rows(nights: Sequence[Night]) -> list[str]:
    """One line for each condition."""
    head = f"{'refused for good':<56}{'safe':<6}{'stopped':<9}{'woken':<7}{'judged':<8}{'told':<8}{'calls':<8}"
    lines = [head]
    for each in nights:
        kinds = {wrong.partition(":")[0] for wrong in each.wrong}
        told = "NO" if kinds & {"untold", "left untold"} else "yes" if each.notices else "-"
        cells = (
            ("NO" if kinds & {"law", "error"} else "yes", 6),
            (f"{each.stopped}/{_NIGHTS}{'!' if 'awake' in kinds else ''}", 9),
            (f"{each.woken}/{_NIGHTS}{'!' if 'asleep' in kinds else ''}", 7),
            ("NO" if "unjudged" in kinds else "yes", 8),
            (told, 8),
            (str(each.calls), 8),
        )
        lines.append(f"{each.name:<56}" + "".join(f"{text:<{width}}" for text, width in cells))
    return [line.rstrip() for line in lines]


def main() -> int:
    """Exit code 1 when any night went wrong."""
    parser = argparse.ArgumentParser(prog="make denied", description=__doc__)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="those whose name contains this")
    asked = parser.parse_args()
    names = [each for each in (*CONDITIONS, *denials()) if asked.only in each]
    nights = []
    with ProcessPoolExecutor(asked.jobs) as pool:
        for each in pool.map(_endure, names):
            nights.append(each)
            sys.stdout.writelines(f"{each.name}: {wrong}\n" for wrong in each.wrong)
            sys.stdout.flush()
    sys.stdout.write("\n".join(rows(nights)) + "\n")
    return 1 if any(each.wrong for each in nights) else 0


def _endure(name: str) -> Night:
    if name in CONDITIONS:
        return endure(name, CONDITIONS[name])
    service, _, operation = name.removesuffix(" denied").partition(":")
    return endure(name, denial(operation, service))


if __name__ == "__main__":
    sys.exit(main())
