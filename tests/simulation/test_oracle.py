"""The oracle notices what must never happen: each violation is planted, by a function that does just that."""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from autostop.sleep.intent import Wanted
from autostop_local.world.resources import Snapshot
from tests.simulation import rest
from tests.simulation.account import Call
from tests.simulation.hub import Hub
from tests.simulation.lab import Lab
from tests.simulation.oracle import LawBrokenError
from tests.simulation.weather import Weather

DATA = "/dev/sdf"
DISKS = {
    "/dev/sda1": {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True},
    DATA: {"VolumeType": "gp3", "VolumeSize": 200, "DeleteOnTermination": False},
}
A_MINUTE = timedelta(minutes=1)


@dataclass
class Plague(Weather):
    """From when it breaks out, every function dies at once, but the one that does wrong and the one that takes taps."""

    hub: Hub | None = None
    broke_out: bool = False

    def kills(self, call: Call, when: str) -> bool:
        task = self.hub.current if self.hub else None
        return self.broke_out and task is not None and task.name not in ("wrong", "api")


class Scene(Lab):
    """A lab in which Autostop can be silenced, and a wrong function planted in its place."""

    def __init__(self) -> None:
        self.plague: Plague
        super().__init__(
            5, disks=DISKS, weather=self._plague, settings={"shelve-after": "0", "idle-after": "20m", "grace": "5m"}
        )
        self.plague.hub = self.hub
        self.pass_time(2 * A_MINUTE)
        self.oracle.write()

    def _plague(self, *given: Any) -> Weather:
        self.plague = Plague(*given)
        return self.plague

    def silence(self) -> None:
        """From now on Autostop does nothing any more."""
        self.plague.broke_out = True

    def do_wrong(self, operation: str, **asked: Any) -> None:
        """One call as a function of Autostop's makes it. Raises LawBrokenError."""
        self.begin_wrong(lambda: self.account.call("ec2", operation, asked))
        self.pass_time(A_MINUTE)

    def begin_wrong(self, work: Callable[[], object]) -> None:
        self.running.add(self.hub.spawn("wrong", work, self.clock()))

    def until(self, operation: str, nth: int = 1) -> None:
        """Let Autostop go on until it has made a call; then it is silent."""
        seen: list[Call] = []
        self.on_call.append(lambda call: seen.append(call) if call.operation == operation else None)
        assert self.pass_time(timedelta(hours=3), lambda: len(seen) == nth)
        self.silence()

    def night(self) -> None:
        self.oracle.write()
        rest.fall_asleep(self)

    def stop(self) -> None:
        """By hand, with nobody to see it."""
        self.silence()
        assert self.person("StopInstances", InstanceIds=[self.workstation])
        self.pass_time(3 * A_MINUTE)
        assert self.ec2_state() == "stopped"

    def start(self) -> None:
        assert self.person("StartInstances", InstanceIds=[self.workstation])
        self.pass_time(3 * A_MINUTE)
        assert self.ec2_state() == "running"

    def volume(self, device: str = DATA, of: str | None = None) -> str:
        return self.world.cloud.instances[of or self.workstation].volumes[device]

    def detach(self) -> str:
        """The data volume, by hand."""
        volume = self.volume()
        assert self.person("DetachVolume", VolumeId=volume)
        self.pass_time(A_MINUTE)
        return volume

    def snapshots(self, device: str = DATA) -> list[Snapshot]:
        """Oldest first."""
        found = self.world.cloud.snapshots.values()
        return [each for each in found if each.tags.get("autostop:device") == device]


@pytest.fixture
def scene() -> Generator[Scene, None, None]:
    scene = Scene()
    yield scene
    scene.close()


def broken(law: str) -> Any:
    return pytest.raises(LawBrokenError, match=f"^law {law}: ")


# -- law 1


def test_a_volume_is_deleted_without_a_snapshot(scene: Scene) -> None:
    scene.stop()
    volume = scene.detach()
    with broken("1d"):
        scene.do_wrong("DeleteVolume", VolumeId=volume)


def test_a_volume_is_deleted_while_its_snapshot_is_pending(scene: Scene) -> None:
    scene.until("CreateSnapshots")
    scene.plague.broke_out = False
    scene.pass_time(A_MINUTE)  # the manifest learns of the snapshots
    scene.silence()
    volume = scene.detach()
    assert scene.snapshots()[0].state == "pending"
    with broken("1a"):
        scene.do_wrong("DeleteVolume", VolumeId=volume)


def test_a_volume_is_deleted_that_was_written_to_since_its_snapshot(scene: Scene) -> None:
    scene.until("DetachVolume")
    scene.pass_time(A_MINUTE)
    for volume in scene.disks_there():
        if volume.attachment is None:
            where = {"InstanceId": scene.workstation, "Device": volume.tags["autostop:device"]}
            assert scene.person("AttachVolume", VolumeId=volume.id, **where)
    scene.pass_time(A_MINUTE)
    scene.start()
    scene.stop()
    volume_id = scene.detach()
    with broken("1b"):
        scene.do_wrong("DeleteVolume", VolumeId=volume_id)


@pytest.mark.parametrize("tag", ["device", "size", "launched-at", "cycle"])
def test_a_volume_is_deleted_whose_snapshot_does_not_say_how_to_restore_it(scene: Scene, tag: str) -> None:
    scene.until("DetachVolume", nth=2)
    scene.pass_time(A_MINUTE)
    [snapshot] = scene.snapshots()
    [volume] = [each.id for each in scene.disks_there() if each.id == snapshot.volume_id]
    scene.tag(snapshot.id, f"autostop:{tag}", None)
    with broken("1d"):
        scene.do_wrong("DeleteVolume", VolumeId=volume)


def test_a_volume_is_deleted_as_it_should_be(scene: Scene) -> None:
    scene.until("DetachVolume", nth=2)
    scene.pass_time(A_MINUTE)
    for volume in scene.disks_there():
        scene.do_wrong("DeleteVolume", VolumeId=volume.id)


def test_a_second_copy_may_go_while_nobody_used_it(scene: Scene) -> None:
    rest.fall_asleep(scene)
    rest.wake(scene)
    first = scene.world.cloud.volumes[scene.volume()]
    copies = []
    for _ in range(2):
        before = {*scene.world.cloud.volumes}
        tags = [{"Key": key, "Value": value} for key, value in first.tags.items()]
        made = {"AvailabilityZone": first.zone, "SnapshotId": first.snapshot_id}
        scene.person("CreateVolume", **made, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}])
        copies += [*{*scene.world.cloud.volumes} - before]
    scene.pass_time(A_MINUTE)
    scene.do_wrong("DeleteVolume", VolumeId=copies[0])
    scene.person("AttachVolume", VolumeId=copies[1], InstanceId=scene.neighbour, Device="/dev/sdq")
    scene.pass_time(A_MINUTE)
    scene.person("DetachVolume", VolumeId=copies[1])
    scene.pass_time(A_MINUTE)
    with broken("4"):
        scene.do_wrong("DeleteVolume", VolumeId=copies[1])


def test_a_volume_is_to_be_deleted_that_is_in_use(scene: Scene) -> None:
    with broken("1c"):
        scene.do_wrong("DeleteVolume", VolumeId=scene.volume())


def test_a_volume_is_pulled_out_of_the_running_instance(scene: Scene) -> None:
    with broken("1c"):
        scene.do_wrong("DetachVolume", VolumeId=scene.volume())


# -- law 2


def test_the_only_copy_is_deleted(scene: Scene) -> None:
    scene.night()
    scene.silence()
    with broken("2"):
        scene.do_wrong("DeleteSnapshot", SnapshotId=scene.snapshots()[0].id)


def test_the_snapshot_is_deleted_from_which_it_runs(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    scene.silence()
    with broken("2"):
        scene.do_wrong("DeleteSnapshot", SnapshotId=scene.snapshots()[0].id)


def test_a_snapshot_is_deleted_before_a_start_from_a_later_one_was_seen(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    scene.night()
    scene.silence()
    older, later = scene.snapshots()
    assert older.tags["autostop:cycle"] < later.tags["autostop:cycle"]
    with broken("2"):
        scene.do_wrong("DeleteSnapshot", SnapshotId=older.id)


def test_a_snapshot_may_go_while_another_device_is_put_back_that_was_away_for_nights(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    data = scene.detach()
    scene.tag(data, "autostop:device", None)  # or Autostop puts it back itself
    scene.oracle.displaced.add(DATA)
    scene.night()
    rest.wake(scene)
    scene.night()
    assert scene.person("AttachVolume", VolumeId=data, InstanceId=scene.workstation, Device=DATA)
    scene.oracle.displaced.clear()
    rest.wake(scene)
    scene.pass_time(A_MINUTE)
    assert [each.tags["autostop:cycle"] for each in scene.snapshots("/dev/sda1")] == ["3"]
    [of_data] = scene.snapshots()
    scene.silence()
    with broken("2"):
        scene.do_wrong("DeleteSnapshot", SnapshotId=of_data.id)


@pytest.mark.parametrize("by", ["nature", "product"])
def test_the_latest_content_is_gone_however_that_came(scene: Scene, by: str) -> None:
    scene.night()
    scene.silence()
    scene.snapshots()[0].state = "error"
    with broken("2"):
        scene.oracle.look(by)


# -- law 3


def test_an_old_snapshot_is_restored(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    scene.night()
    scene.silence()
    older, later = scene.snapshots()
    scene.do_wrong("CreateVolume", AvailabilityZone="us-east-1a", SnapshotId=later.id)
    with broken("3"):
        scene.do_wrong("CreateVolume", AvailabilityZone="us-east-1a", SnapshotId=older.id)


def test_an_empty_disk_takes_the_place_of_a_restore(scene: Scene) -> None:
    scene.night()
    scene.silence()
    with broken("3"):
        scene.do_wrong("CreateVolume", AvailabilityZone="us-east-1a", Size=200)


def test_it_is_started_with_a_volume_missing(scene: Scene) -> None:
    scene.stop()
    scene.detach()
    with broken("3"):
        scene.do_wrong("StartInstances", InstanceIds=[scene.workstation])


def test_it_is_started_with_an_older_disk(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    scene.oracle.write()
    scene.until("CreateSnapshots")
    scene.pass_time(timedelta(minutes=10))
    scene.content.write(scene.volume(), scene.content.of_snapshot(scene.snapshots()[0].id) or 0)
    with broken("3"):
        scene.do_wrong("StartInstances", InstanceIds=[scene.workstation])


def test_it_runs_with_an_older_disk(scene: Scene) -> None:
    old = scene.content.of_volume(scene.volume()) or 0
    scene.night()
    rest.wake(scene)
    scene.content.write(scene.volume(), old - 1)
    with broken("3"):
        scene.oracle.write()


# -- law 4


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("StopInstances", lambda scene: {"InstanceIds": [scene.workstation]}),
        ("CreateSnapshots", lambda scene: {"InstanceSpecification": {"InstanceId": scene.workstation}}),
    ],
)
def test_somebody_puts_to_sleep_what_the_owner_started(
    scene: Scene, operation: str, asked: Callable[[Scene], dict[str, Any]]
) -> None:
    scene.tap("start")
    scene.pass_time(A_MINUTE)
    scene.silence()
    with broken("4"):
        scene.do_wrong(operation, **asked(scene))


def test_somebody_detaches_a_volume_that_the_owner_wants_started(scene: Scene) -> None:
    scene.stop()
    scene.tap("start")
    scene.pass_time(A_MINUTE)
    with broken("4"):
        scene.do_wrong("DetachVolume", VolumeId=scene.volume())


def test_somebody_starts_what_the_owner_stopped(scene: Scene) -> None:
    scene.tap("stop")
    scene.until("StopInstances")
    scene.pass_time(A_MINUTE)
    with broken("4"):
        scene.do_wrong("StartInstances", InstanceIds=[scene.workstation])


def test_who_was_under_way_at_the_tap_may_take_one_step_and_no_more(scene: Scene) -> None:
    took: list[str] = []

    def work() -> None:
        scene.hub.pause(A_MINUTE / 2)
        scene.account.call("ec2", "CreateSnapshots", {"InstanceSpecification": {"InstanceId": scene.workstation}})
        took.append("CreateSnapshots")
        scene.account.call("ec2", "StopInstances", {"InstanceIds": [scene.workstation]})
        took.append("StopInstances")

    scene.begin_wrong(work)
    scene.tap("start")
    with broken("4"):
        scene.pass_time(2 * A_MINUTE)
    assert took == ["CreateSnapshots"]


# -- laws 5 and 6


def asked_to_stop_for_idleness(scene: Scene) -> None:
    """Autostop has decided, and gets no further."""
    assert scene.pass_time(timedelta(hours=1), lambda: scene.state().intent is not None)
    scene.silence()
    intent = scene.state().intent
    assert intent is not None
    assert intent.by == "idle"
    assert scene.ec2_state() == "running"


def test_it_is_stopped_though_there_was_work(scene: Scene) -> None:
    asked_to_stop_for_idleness(scene)
    scene.oracle.activity.last_work = scene.clock()
    scene.pass_time(timedelta(minutes=10))
    with broken("5"):
        scene.do_wrong("StopInstances", InstanceIds=[scene.workstation])


def test_it_is_stopped_though_nothing_could_be_seen(scene: Scene) -> None:
    asked_to_stop_for_idleness(scene)
    scene.oracle.activity.blind_since = scene.clock()
    scene.pass_time(timedelta(minutes=10))
    with broken("5"):
        scene.do_wrong("StopInstances", InstanceIds=[scene.workstation])


def test_it_is_stopped_for_idleness_of_before_its_launch(scene: Scene) -> None:
    asked_to_stop_for_idleness(scene)
    scene.stop()
    scene.start()
    with broken("6"):
        scene.do_wrong("StopInstances", InstanceIds=[scene.workstation])


def test_it_is_stopped_as_it_should_be(scene: Scene) -> None:
    asked_to_stop_for_idleness(scene)
    scene.do_wrong("StopInstances", InstanceIds=[scene.workstation])
    assert scene.ec2_state() == "stopped"


# -- law 7


@pytest.mark.parametrize(
    ("operation", "asked"),
    [
        ("StopInstances", lambda scene: {"InstanceIds": [scene.neighbour]}),
        ("AttachVolume", lambda scene: {"VolumeId": scene.volume(of=scene.neighbour), "InstanceId": scene.workstation}),
        ("CreateSnapshots", lambda scene: {"InstanceSpecification": {"InstanceId": scene.neighbour}}),
        ("CreateTags", lambda scene: {"Resources": [scene.neighbour], "Tags": [{"Key": "a", "Value": "b"}]}),
        ("ModifyInstanceAttribute", lambda scene: {"InstanceId": scene.neighbour}),
    ],
)
def test_the_neighbour_is_touched(scene: Scene, operation: str, asked: Callable[[Scene], dict[str, Any]]) -> None:
    with broken("7"):
        scene.do_wrong(operation, **asked(scene))


def test_what_lost_its_tag_is_touched_by_a_function_that_began_later(scene: Scene) -> None:
    scene.silence()
    scene.tag(scene.volume(), "autostop", None)
    scene.pass_time(2 * A_MINUTE)
    with broken("7"):
        scene.do_wrong("CreateTags", Resources=[scene.volume()], Tags=[{"Key": "autostop:cycle", "Value": "1"}])


# -- what is nobody's fault but the person's


def test_what_a_person_destroys_is_forgiven_and_told(scene: Scene) -> None:
    scene.night()
    before = dict(scene.oracle.newest)
    assert scene.person("DeleteSnapshot", SnapshotId=scene.snapshots()[0].id)
    assert scene.oracle.newest == {device: stamp for device, stamp in before.items() if device != DATA}
    assert scene.oracle.forgiven == [f"{DATA}: a person destroyed {before[DATA]}, 0 is left"]
    rest.wake(scene)
    assert rest.blocked(scene)
    assert not scene.reached(Wanted.RUN)


def test_an_older_copy_that_a_person_left_is_the_latest_then(scene: Scene) -> None:
    scene.night()
    rest.wake(scene)
    scene.night()
    older, later = scene.snapshots()
    assert scene.person("DeleteSnapshot", SnapshotId=later.id)
    assert scene.oracle.newest[DATA] == scene.content.of_snapshot(older.id)
    assert scene.oracle.forgiven


def test_a_call_that_ec2_refuses_breaks_nothing(scene: Scene) -> None:
    refused: list[str] = []

    def work() -> None:
        for operation, asked in (
            ("DeleteSnapshot", {"SnapshotId": "snap-00000000000000000"}),
            ("CreateVolume", {"AvailabilityZone": "us-east-1a", "SnapshotId": "snap-00000000000000000"}),
        ):
            with pytest.raises(ClientError):
                scene.account.call("ec2", operation, asked)
            refused.append(operation)

    scene.begin_wrong(work)
    scene.pass_time(A_MINUTE)
    assert refused == ["DeleteSnapshot", "CreateVolume"]
