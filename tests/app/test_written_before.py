"""What the version before wrote is read without anybody's act: states, links, journal, and tags of snapshots.

`tests/aws/data/written_before.json` was written by that version in a world like this one: a workstation that it had put
to sleep, and one that its owner keeps awake. Only ids differ here.
"""

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from autostop.app.links import open_link
from autostop.model import InstanceState, WorkstationId
from autostop.sleep.intent import By, Wanted
from autostop.state import Outline
from autostop_cli.repair.recover import Recovery
from tests.app.autostop_at_work import START, AtWork
from tests.handlers.table import TABLE

DATA = Path(__file__).parents[1] / "aws" / "data" / "written_before.json"
DEVICES = ("/dev/sda1", "/dev/sdf", "/dev/sdg")


class Before:
    """The world as the version before left it. asleep, awake: its two workstations."""

    def __init__(self, lab: AtWork, *, with_table: bool = True) -> None:
        self.lab, text = lab, DATA.read_text(encoding="utf-8")
        written = json.loads(text)
        self.secret = written["secret"]
        self.asleep, self.awake = lab.workstation(), lab.workstation(disks={})
        lab.machines.use_cores(self.awake, 2.0)
        lab.write(self.asleep, "monday")
        ids = {written["workstation"]: str(self.asleep), written["awake"]: str(self.awake)}
        ids |= self._shelve(written["snapshots"], ids)
        for old, new in ids.items():
            text = text.replace(old, new)
        for item in json.loads(text)["items"] if with_table else ():
            lab.ledger.client.put_item(TableName=TABLE, Item=_with_bytes(item))
        lab.clock.advance(datetime.fromisoformat(written["now"]) - lab.clock())

    def _shelve(self, snapshots: list[dict[str, Any]], ids: dict[str, str]) -> dict[str, str]:
        """Its volumes become snapshots with the tags that were written; by what ids they are to be known."""
        lab = self.lab
        self._pass(timedelta(minutes=50))
        lab.ec2.stop_instances(InstanceIds=[self.asleep])
        self._pass(timedelta(minutes=1))
        volumes = {volume.device: volume.id for volume in lab.disks.volumes(self.asleep)}
        made: dict[str, str] = {}
        for snapshot in snapshots:
            volume = volumes[snapshot["Tags"]["autostop:device"]]
            made[snapshot["VolumeId"]] = volume
            tags = {key: (ids | made).get(value, value) for key, value in snapshot["Tags"].items()}
            specification = {
                "ResourceType": "snapshot",
                "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
            }
            made[snapshot["SnapshotId"]] = lab.ec2.create_snapshot(VolumeId=volume, TagSpecifications=[specification])[
                "SnapshotId"
            ]
        self._pass(timedelta(minutes=5))
        for volume in volumes.values():
            lab.ec2.detach_volume(VolumeId=volume)
        self._pass(timedelta(minutes=1))
        for volume in volumes.values():
            lab.ec2.delete_volume(VolumeId=volume)
        self._pass(timedelta(minutes=1))
        return made

    def _pass(self, how_long: timedelta) -> None:
        """Without Autostop."""
        self.lab.clock.advance(how_long)
        self.lab.world.tick()

    def kinds(self) -> set[tuple[str, str]]:
        return set(self.lab.table.items)


def _with_bytes(item: dict[str, Any]) -> Any:
    return {
        name: {"B": base64.b64decode(value["B"])} if "B" in value else value
        for name, value in item.items()
    }  # fmt: skip


@pytest.fixture
def before(lab: AtWork) -> Before:
    return Before(lab)


def wakes(lab: AtWork, workstation: WorkstationId) -> None:
    lab.awake(workstation)
    assert lab.content(workstation) == {device: f"monday {device}" for device in DEVICES}
    instance = lab.instance(workstation)
    assert instance.state is InstanceState.RUNNING


@pytest.mark.parametrize("sweeps", [0, 1], ids=["at once", "after a sweep"])
def test_what_the_version_before_put_to_sleep_wakes_by_its_old_link_and_goes_to_sleep_again(
    lab: AtWork, before: Before, sweeps: int
) -> None:
    asleep = before.asleep
    state = lab.state(asleep)
    assert (state.version, state.manifest is not None) == (21, True)
    assert lab.reached(asleep, Wanted.SHELVE)
    for _ in range(sweeps):
        assert lab.sweep().skipped == {}
        assert lab.reached(asleep, Wanted.SHELVE)
    link = open_link(lab.ledger, asleep, before.secret, lab.clock())
    assert link is not None

    lab.owner.start(asleep, link.label)
    wakes(lab, asleep)
    lab.asleep(asleep)

    state = lab.state(asleep)
    assert state.manifest is not None
    assert state.manifest.cycle == 2
    assert (asleep, "state") not in before.kinds()


def test_a_sweep_knows_what_the_version_before_knew_and_moves_it(lab: AtWork, before: Before) -> None:
    asleep, awake = before.asleep, before.awake
    known = {each: lab.state(each) for each in (asleep, awake)}
    promise = known[awake].kept_awake_until
    assert promise is not None
    assert promise > lab.clock()
    assert lab.ledger.states() == {}
    assert lab.ledger.older_states([awake, asleep]) == known

    swept = lab.sweep()

    assert (swept.intents, swept.skipped) == ({}, {})
    assert {(awake, "state"), (asleep, "state")}.isdisjoint(before.kinds())
    states = lab.ledger.states()
    for each, state in known.items():
        assert isinstance(states[each], Outline)
        assert (states[each].version, states[each].intent) == (state.version + 1, state.intent)
        assert lab.state(each).manifest == state.manifest
    assert states[awake].kept_awake_until == promise

    # The promise holds, also when nobody works there.
    lab.machines.use_cores(awake, 0.05)
    lab.pass_time(timedelta(hours=3))
    assert lab.state(awake).intent is None
    assert lab.reached(asleep, Wanted.SHELVE)


def test_what_it_saw_of_a_run_is_remembered(lab: AtWork, before: Before) -> None:
    at = datetime.fromisoformat("2026-11-23T08:50:00.001+00:00")
    [seen] = lab.ledger.sweep_records(before.awake, at, at)
    assert seen.launched_at == START
    assert lab.ledger.latest_sweep(lab.clock())[before.awake] == seen


def test_its_tags_alone_bring_the_volumes_back(lab: AtWork) -> None:
    before = Before(lab, with_table=False)
    recovery = Recovery(lab.instances, lab.disks, lab.ledger, lab.queue, lab.ticking)
    instance = lab.instance(before.asleep)
    finding = recovery.look(instance)
    assert finding.new is not None, finding
    recovery.mend(finding)
    state = lab.state(before.asleep)
    assert state.intent is not None
    assert state.intent.by is not By.OWNER
    lab.owner.start(before.asleep, "the test")
    wakes(lab, before.asleep)
