"""`autostop resize`: what is wanted from the next wake on, what is refused and why, and that it comes true."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from autostop.model import OtherType, SpotKind, WorkstationId
from autostop.settings import Policy
from autostop.sleep.resize import Resize
from autostop.state import State
from autostop_cli.new_machine import parse_disk
from autostop_cli.resize import Hardware, disks_of, resize, why_not_sizes, why_not_type
from autostop_local.world.errors import AwsError
from tests import build
from tests.build import row
from tests.cli.desk import Desk, account_of

NITRO, XEN = Hardware("required", "required", offered=True), Hardware("unsupported", "unsupported", offered=True)


@pytest.mark.parametrize(("text", "expected"), [("/dev/sdf=300", ("/dev/sdf", 300)), (" sdf = 300 GiB", ("sdf", 300))])
def test_a_size_as_it_is_typed(text: str, expected: tuple[str, int]) -> None:
    assert parse_disk(text) == expected


@pytest.mark.parametrize(
    "text", ["300", "/dev/sdf", "/dev/sdf=", "=300", "/dev/sdf=-3", "/dev/sdf=3.5", "/dev/sdf=٣", "f=0"]
)
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="write it like /dev/sdf=300"):
        parse_disk(text)


@pytest.mark.parametrize(("sizes", "other", "policy", "why"), [
    row("larger", {build.DATA: 600}, {}, Policy(), None),
    row("as large", {build.DATA: 500}, {}, Policy(), "has 500 GiB, and can only grow"),
    row("smaller", {build.DATA: 5}, {}, Policy(), "has 500 GiB, and can only grow"),
    row("larger than its type", {build.DATA: 70000}, {}, Policy(), "of the type gp3, which has at most 65536 GiB"),
    row("an unknown disk", {"/dev/sdz": 600}, {}, Policy(), "none of its disks: /dev/sdf, /dev/xvda"),
    row("Spot", {build.DATA: 600}, {"spot": SpotKind.PERSISTENT}, Policy(), "a Spot instance are never made anew"),
    row("never shelved", {build.DATA: 600}, {}, Policy(shelve_after=None), "shelve-after is off are never made anew"),
    row("no size at all", {}, {"spot": SpotKind.PERSISTENT}, Policy(), None),
])  # fmt: skip
def test_why_a_disk_may_not_have_a_size(
    sizes: dict[str, int], other: dict[str, Any], policy: Policy, why: str | None
) -> None:
    disks = {each.device: each for each in build.manifest().volumes}
    found = " ".join(why_not_sizes(sizes, disks, build.instance(**other), policy))
    assert not found if why is None else why in found


def test_its_disks_are_what_is_attached_or_was_written_down_of_this_stop() -> None:
    state = State(build.ID, manifest=build.manifest())
    grown = build.volume(build.DATA, size_gib=700)
    sizes = {each.device: each.size_gib for each in disks_of(state, build.instance(), [grown])}
    assert sizes == {build.ROOT: 50, build.DATA: 700}
    assert disks_of(state, build.instance(launched_at=build.NOW), []) == []


@pytest.mark.parametrize(("architectures", "now", "then", "why"), [
    row("alike", ("x86_64",), NITRO, NITRO, None),
    row("another architecture", ("arm64",), NITRO, NITRO, "it is for arm64"),
    row("not in the zone", ("x86_64",), NITRO, Hardware("required", "required", offered=False), "does not offer it"),
    row("disks that it never had", ("x86_64",), XEN, NITRO, "its disks are NVMe"),
    row("to an older kind", ("x86_64",), NITRO, XEN, None),
    row("unknown", (), NITRO, NITRO, "does not know it"),
])  # fmt: skip
def test_why_it_may_not_become_of_a_type(
    architectures: tuple[str, ...], now: Hardware, then: Hardware, why: str | None
) -> None:
    instance = build.instance(architecture="x86_64", type="m5.xlarge")
    hardware = {"m5.xlarge": now, "c5.2xlarge": then}
    found = " ".join(why_not_type(instance, OtherType("c5.2xlarge", architectures), hardware))
    assert not found if why is None else why in found


# -- the command


def test_it_is_wanted_told_and_taken_back(at: Desk) -> None:
    lab = at.adopted()
    said = at.run("resize", "lab", "--type", "c5.2xlarge", "--size", "sdf=300")
    assert said.exit_code == 0, said.output
    told = "At its next wake it becomes c5.2xlarge, and /dev/sdf becomes 300 GiB"
    assert told in said.output
    assert "/dev/sdf costs $24.00 a month awake then, now $8.00 a month" in said.output
    for command in ("resize", "status", "why"):
        assert told in at.run(command, lab).output, command
    more = at.run("resize", lab, "--size", "/dev/sdf=400")
    assert "it becomes c5.2xlarge, and /dev/sdf becomes 400 GiB" in more.output
    assert "It wakes as it is" in at.run("resize", lab, "--off").output
    assert "Nothing else is wanted" in at.run("resize", lab).output
    assert at.tags(lab).keys() == {"autostop", "Name"}


@pytest.mark.parametrize(("words", "why"), [
    (("--type", "m7g.xlarge"), "m7g.xlarge: it is for arm64, and the workstation is x86_64."),
    (("--type", "m5.huge"), "m5.huge: EC2 does not know it in this Region."),
    (("--size", "/dev/sdf=50"), "/dev/sdf has 100 GiB, and can only grow."),
    (("--type", "c5.2xlarge", "--size", "/dev/sdz=500"), "/dev/sdz is none of its disks: /dev/sda1, /dev/sdf."),
], ids=str)  # fmt: skip
def test_what_cannot_be_changes_nothing(at: Desk, words: tuple[str, ...], why: str) -> None:
    lab = at.adopted()
    said = at.run("resize", lab, *words)
    assert said.exit_code == 1
    assert why in said.output
    assert "Nothing was changed" in said.output
    assert at.account.ledger.load(lab).resize is None


def test_what_it_is_already_is_wanted_of_nobody(at: Desk) -> None:
    lab = at.adopted()
    assert at.run("resize", lab, "--type", "c5.2xlarge").exit_code == 0
    assert "It is so already" in at.run("resize", lab, "--type", at.account.instances.tagged()[0].type).output
    assert at.account.ledger.load(lab).resize is None


# -- that it comes true


def wanted(at: Desk, lab: WorkstationId, **sizes: int) -> None:
    """Larger disks, asked for as the command does."""
    resize(account_of(at.lab), lab, sizes=[(f"/dev/{name}", size) for name, size in sizes.items()])


def as_type(at: Desk, lab: WorkstationId, type_: str) -> None:
    """Another type; the command looks that up over HTTP."""
    own = at.lab.instance(lab).type
    at.lab.ledger.change(lab, lambda state: replace(state, resize=Resize(at.clock(), own, type_)))


def size_of(at: Desk, lab: WorkstationId, device: str) -> int:
    return at.world.cloud.volumes[at.world.cloud.instances[lab].volumes[device]].size


def asleep(at: Desk) -> WorkstationId:
    lab = at.lab.workstation()
    at.lab.write(lab, "monday")
    at.lab.asleep(lab)
    return lab


def settle(at: Desk) -> None:
    at.lab.pass_time(timedelta(minutes=15))


def test_a_disk_is_larger_at_the_next_wake_with_all_that_was_on_it(near: Desk) -> None:
    lab = asleep(near)
    wanted(near, lab, sdf=300)
    near.lab.wake(lab)
    settle(near)
    assert (size_of(near, lab, "/dev/sdf"), size_of(near, lab, "/dev/sdg")) == (300, 500)
    assert near.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"
    assert near.lab.state(lab).resize is None
    near.lab.asleep(lab)
    near.lab.wake(lab)
    assert size_of(near, lab, "/dev/sdf") == 300
    assert near.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"


def test_what_is_wanted_while_it_runs_waits_for_its_next_wake(near: Desk) -> None:
    lab = near.lab.workstation()
    near.lab.pass_time(timedelta(minutes=10))
    wanted(near, lab, sdf=300)
    settle(near)
    assert size_of(near, lab, "/dev/sdf") == 200
    near.lab.asleep(lab)
    near.lab.wake(lab)
    assert size_of(near, lab, "/dev/sdf") == 300


def test_what_is_taken_back_does_not_come(near: Desk) -> None:
    lab = asleep(near)
    wanted(near, lab, sdf=300)
    resize(account_of(near.lab), lab, off=True)
    near.lab.wake(lab)
    assert size_of(near, lab, "/dev/sdf") == 200


def test_where_ebs_refuses_the_size_it_wakes_as_it_was_and_says_so(near: Desk) -> None:
    lab = asleep(near)
    wanted(near, lab, sdf=300)

    # The root's is made last.
    near.world.fail_next("CreateVolume", "MaxStorageExceeded", "your quota is spent")
    near.lab.wake(lab)
    settle(near)
    intent = near.lab.state(lab).intent
    assert intent is not None
    texts = [each.text for each in near.lab.ledger.happened(lab, intent.number)]
    assert any("/dev/sdf stays at 200 GiB" in each and "your quota is spent" in each for each in texts)
    assert size_of(near, lab, "/dev/sdf") == 200
    assert near.lab.state(lab).resize is None
    assert near.lab.content(lab)["/dev/sdf"] == "monday /dev/sdf"


def test_its_type_is_another_at_the_next_wake_and_stays_so(near: Desk) -> None:
    lab = asleep(near)
    as_type(near, lab, "m5.xlarge")
    near.lab.wake(lab)
    settle(near)
    assert near.lab.instance(lab).type == "m5.xlarge"
    assert near.lab.state(lab).resize is None
    near.lab.asleep(lab)
    near.lab.wake(lab)
    assert near.lab.instance(lab).type == "m5.xlarge"


def test_without_capacity_it_wakes_as_it_was_and_the_next_start_tries_again(near: Desk) -> None:
    lab = asleep(near)
    as_type(near, lab, "m5.xlarge")
    near.world.lack_capacity(("m5.xlarge",))
    near.lab.wake(lab)
    settle(near)
    assert near.lab.instance(lab).type == "t3.xlarge"
    status = near.lab.owner.status(lab)
    assert any("m5.xlarge had no capacity. The next start tries m5.xlarge first" in each for each in status.problems)
    near.world.lack_capacity(())
    near.lab.asleep(lab)
    near.lab.wake(lab)
    settle(near)
    assert near.lab.instance(lab).type == "m5.xlarge"


def test_a_type_that_ec2_refuses_is_given_up_and_it_wakes_as_it_was(near: Desk) -> None:
    lab = asleep(near)
    as_type(near, lab, "m5.xlarge")
    near.lab.refusals["ModifyInstanceAttribute"] = AwsError("UnsupportedOperation", "not for you")
    near.lab.after("StartInstances", near.lab.refusals.clear)
    near.lab.wake(lab)
    settle(near)
    assert near.lab.instance(lab).type == "t3.xlarge"
    assert "m5.xlarge is not tried" in near.lab.state(lab).note
    assert near.lab.state(lab).resize is None
