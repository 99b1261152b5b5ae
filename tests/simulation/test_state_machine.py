"""Histories that Hypothesis makes up, rule by rule, and shrinks to the shortest that still goes wrong.

STATE_MACHINE_EXAMPLES=n runs n new ones; without it, a fixed set.
"""

import os
import sys
from collections.abc import Callable
from datetime import timedelta
from functools import wraps
from typing import Any

from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.simulation import rest
from tests.simulation.lab import Lab, Usual
from tests.simulation.messages import Disorder
from tests.simulation.ordered import ENDS, Ordered

DISKS = {
    "/dev/sda1": {"VolumeType": "gp3", "VolumeSize": 50, "DeleteOnTermination": True},
    "/dev/sdf": {"VolumeType": "gp3", "VolumeSize": 200, "Iops": 4000, "DeleteOnTermination": False},
    "/dev/sdg": {"VolumeType": "st1", "VolumeSize": 500, "DeleteOnTermination": True, "Encrypted": True},
}
OF_A_NIGHT = ("StopInstances", "CreateSnapshots", "DetachVolume", "DeleteVolume")
OF_A_START = ("CreateVolume", "AttachVolume", "StartInstances", "DeleteSnapshot")
STEPS = (*OF_A_NIGHT, *OF_A_START)
CALLS = (
    *STEPS, "CreateTags", "ModifyInstanceAttribute", "PutItem", "DeleteItem", "TransactWriteItems", "SendMessage",
    "DescribeVolumes",
)  # fmt: skip
# When something happens: so many minutes later, or right after the next step of this name, with a tap if it needs one.
MOMENTS = (0, 1, 15, 60, *STEPS)
nth = st.integers(0, 2)
times = st.sampled_from((1, 4))

EXAMPLES = os.environ.get("STATE_MACHINE_EXAMPLES")


def event(**arguments: Any) -> Callable[[Callable[..., None]], Any]:
    """A rule that comes `after` a while, or right after a step of Autostop: there it hurts."""

    def made(act: Callable[..., None]) -> Any:
        @wraps(act)
        def after_a_while(machine: "Workstation", after: str | int, **others: Any) -> None:
            machine.wait(after)
            act(machine, **others)

        a_rule: Callable[[Callable[..., None]], Any] = rule(after=st.sampled_from(MOMENTS), **arguments)
        return a_rule(after_a_while)

    return made


class Workstation(RuleBasedStateMachine):
    """One workstation, and whatever may happen to it. Arguments are small: they are what a failure shows."""

    def __init__(self) -> None:
        super().__init__()
        self.outside = sys.exc_info()[1]
        self.lab: Any = None

    @initialize(data_disks=nth, shelve_after=st.sampled_from(("0", "20m")), snapshots=st.sampled_from((4, 40)))
    def adopt(self, data_disks: int, shelve_after: str, snapshots: int) -> None:
        """snapshots: the minutes that they take."""
        self.lab = lab = Lab(
            0,
            disks=dict(list(DISKS.items())[: 1 + data_disks]),
            usual=Usual(snapshot=timedelta(minutes=snapshots)),
            weather=Ordered,
            settings={"shelve-after": shelve_after, "idle-after": "20m", "grace": "5m"},
        )
        lab.works_until = lab.clock() + timedelta(minutes=5)
        self.neighbour = self.of_the_neighbour()
        self.detached_by_hand = self.meddled = False
        self.did: list[str] = []
        lab.on_call.append(lambda call: self.did.append(call.operation) if call.operation in STEPS else None)
        lab.live(lambda: timedelta(minutes=3))

    def wait(self, until: str | int) -> None:
        """So many minutes; or until Autostop has taken a step, an hour and a half at most."""
        lab = self.lab
        if isinstance(until, int):
            lab.pass_time(timedelta(minutes=until))
            return
        if until in OF_A_START and lab.ec2_state() == "stopped":
            lab.tap("start")
        before = self.did.count(until)
        lab.pass_time(timedelta(minutes=90), lambda: self.did.count(until) > before)

    # -- the owner

    @event()
    def owner_starts(self) -> None:
        self.lab.tap("start")

    @event(wish=st.sampled_from(("start", "stop", "keep-awake")))
    def owner_taps(self, wish: str) -> None:
        self.lab.tap(wish)

    @event(minutes=st.sampled_from((0, 20, 90)))
    def owner_works_for(self, minutes: int) -> None:
        self.lab.works_until = self.lab.clock() + timedelta(minutes=minutes)

    @event()
    def owner_recovers(self) -> None:
        self.recover()

    def recover(self) -> None:
        """`autostop recover`."""
        self.lab._run("recover", lambda: rest.recover(self.lab))
        self.lab.pass_time(timedelta(minutes=1))

    # -- a person at the console

    @event(how=st.sampled_from(("start", "stop", "power off")))
    def person_switches(self, how: str) -> None:
        lab = self.lab
        if how != "power off":
            lab.person("StartInstances" if how == "start" else "StopInstances", InstanceIds=[lab.workstation])
        elif lab.ec2_state() == "running":
            lab.world.power_off(lab.workstation)

    @event(nth=nth)
    def person_detaches(self, nth: int) -> None:
        lab = self.lab
        attached = list(lab.world.cloud.instances[lab.workstation].volumes.values())
        for volume in attached[nth : nth + 1]:
            if lab.person("DetachVolume", VolumeId=volume):
                # Whether it goes with its instance is forgotten by EC2 with the attachment.
                lab.detached_by_hand.add(lab.oracle.line[lab.content.of_volume(volume)])
                self.detached_by_hand = True

    @precondition(lambda self: self.detached_by_hand)
    @event()
    def person_attaches_back(self) -> None:
        self.attach_back()

    def attach_back(self) -> None:
        lab = self.lab
        for volume in lab.disks_there():
            if volume.attachment is None and "autostop:device" in volume.tags:
                where = {"InstanceId": lab.workstation, "Device": volume.tags["autostop:device"]}
                lab.person("AttachVolume", VolumeId=volume.id, **where)

    @event(nth=nth)
    def person_enlarges(self, nth: int) -> None:
        lab = self.lab
        for volume in [each for each in lab.disks_there() if each.state in ("available", "in-use")][nth : nth + 1]:
            if lab.person("ModifyVolume", VolumeId=volume.id, Size=volume.size + 10):
                lab.reshaped(volume.id)

    @event(nth=nth)
    def person_deletes_a_snapshot(self, nth: int) -> None:
        """Any: 0 is the newest."""
        for snapshot in self.snapshots()[::-1][nth : nth + 1]:
            self.meddled = True
            self.lab.person("DeleteSnapshot", SnapshotId=snapshot)

    @event(nth=nth)
    def person_deletes_a_snapshot_that_is_not_needed(self, nth: int) -> None:
        """One whose content is on its volume still, or is not the latest."""
        lab = self.lab
        content, kept = lab.content, lab.world.cloud.volumes.values()
        on_volumes = {content.of_volume(each.id) for each in kept if each.state in ("available", "in-use")}
        latest = set(lab.oracle.newest.values()) - on_volumes
        not_needed = [each for each in self.snapshots() if content.of_snapshot(each) not in latest]
        for snapshot in not_needed[nth : nth + 1]:
            lab.person("DeleteSnapshot", SnapshotId=snapshot)

    def snapshots(self) -> list[str]:
        return [each.id for each in self.lab.world.cloud.snapshots.values() if "autostop:workstation" in each.tags]

    @event(how=st.sampled_from(("lost", "cut", "without a version")), which=st.sampled_from((0, 1)))
    def table_is_damaged(self, how: str, which: int) -> None:
        items, keys = self.lab.table.items, self.lab.items_of_state()
        key = keys[which]
        item = items.get(key)
        if item is None:
            return
        # What only the table knew: the owner's wish, and what attachments of this moment had before.
        self.lab.oracle.wish = None
        self.lab.oracle.table_hurt_at = self.lab.clock()
        self.lab.detached_by_hand.update(self.lab.shape_at_first)
        match how:
            case "lost":
                items.clear()
            case "cut":
                items[key] = {**item, "document": {"S": item["document"]["S"][:100]}}
            case _:
                items[key] = {name: value for name, value in item.items() if name != "version"}

    # -- AWS

    @event(call=st.sampled_from(CALLS), end=st.sampled_from(tuple(ENDS)))
    def next_call(self, call: str, end: str) -> None:
        self.lab.weather.order(call, end)

    @event(
        what=st.sampled_from(("snapshots", "a snapshot of a set", "volumes", "boots")), times=st.sampled_from((1, 4))
    )
    def next_fail(self, what: str, times: int) -> None:
        world = self.lab.world
        match what:
            case "volumes":
                world.fail_next_volumes(times)
            case "boots":
                world.fail_next_boots(times)
            case _:
                world.fail_next_snapshots(times, alone=what != "snapshots")

    @event(lacks=st.booleans())
    def capacity_lacks(self, lacks: bool) -> None:
        self.lab.world.lack_capacity(("m5.xlarge",) if lacks else ())

    @event(seconds=st.sampled_from((0, 5, 40)))
    def lists_lag(self, seconds: int) -> None:
        self.lab.world.lag = (lambda: timedelta(seconds=seconds)) if seconds else None

    @event(how=st.sampled_from(("in time", "late", "lost", "twice")))
    def events_come(self, how: str) -> None:
        """From now on; twice: only the message that was sent last."""
        messages = self.lab.messages
        messages.disorder = Disorder(lost=float(how == "lost"), late=float(how == "late"))
        for message in messages.waiting[-1:] if how == "twice" else ():
            messages.send({"MessageBody": message.body})

    @event(what=st.sampled_from(("agent", "metrics")))
    def cannot_be_seen(self, what: str) -> None:
        lab = self.lab
        hide: Callable[[str], None] = lab.world.break_agent if what == "agent" else lab.world.lose_metrics
        hide(lab.workstation)
        if lab.oracle.activity.blind_since is None:
            lab.oracle.activity.blind_since = lab.clock()

    # -- what must hold, besides the laws that the oracle looks after at each call

    @invariant()
    def all_is_well(self) -> None:
        """One invariant, for a failure shows each after every rule."""
        stands = rest.told_state(self.lab)
        note(f"  # {self.lab.clock():%d. %H:%M:%S} {stands}; its last steps: {', '.join(self.did[-5:])}")
        self.the_latest_content_of_every_device_can_be_had()
        self.nobody_touched_the_neighbour()
        self.no_function_failed_in_a_way_of_its_own()

    def the_latest_content_of_every_device_can_be_had(self) -> None:
        held = self.lab.oracle._held()
        assert all(held.get(device, 0) >= stamp for device, stamp in self.lab.oracle.newest.items())

    def nobody_touched_the_neighbour(self) -> None:
        assert self.of_the_neighbour() == self.neighbour

    def no_function_failed_in_a_way_of_its_own(self) -> None:
        assert self.lab.unexpected == []

    def of_the_neighbour(self) -> tuple[object, ...]:
        """Everything of the instance that is not ours."""
        cloud, instance = self.lab.world.cloud, self.lab.world.cloud.instances[self.lab.neighbour]
        volumes = [cloud.volumes[each] for each in instance.volumes.values()]
        snapshots = [each.id for each in cloud.snapshots.values() if each.volume_id in instance.volumes.values()]
        return instance.type, dict(instance.tags), [(each.id, dict(each.tags)) for each in volumes], snapshots

    # -- how it ends

    def teardown(self) -> None:
        # An exception is on its way through when the history has gone wrong already, or was given up by Hypothesis.
        try:
            if self.lab is not None and sys.exc_info()[1] is self.outside:
                self.tidy_up()
                self.come_to_rest()
                self.all_is_well()
        finally:
            if self.lab is not None:
                self.lab.close()

    def tidy_up(self) -> None:
        lab = self.lab
        rest.calm_down(lab)
        rest.take_back(lab)
        if self.detached_by_hand:
            lab.pass_time(timedelta(minutes=1))
            self.attach_back()
        self.recover()
        lab.pass_time(timedelta(minutes=2))

    def come_to_rest(self) -> None:
        """Awake and whole, asleep, awake and whole, with nothing left over. Raises StuckError."""
        lab = self.lab
        rest.work_again(lab)
        # Without the table, only a whole set of snapshots tells how to restore: law 9 lets it wait for a person.
        hurt = lab.oracle.table_hurt_at is not None and bool(lab.oracle.deleted_by_hand)
        if rest.blocked(lab) and (self.meddled or hurt or lab.oracle.forgiven):
            return
        rest.one_more_night(lab)


TestWorkstation = Workstation.TestCase
TestWorkstation.settings = settings(
    deadline=None,
    max_examples=int(EXAMPLES or 15),
    stateful_step_count=12,
    derandomize=EXAMPLES is None,
    database=None,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
    print_blob=False,
)
