"""How a history comes to rest: awake on a tap, asleep when idle, whole, and nothing left over."""

from datetime import timedelta

from autostop.model import instance_of
from autostop.ports import DeniedError
from autostop.sleep.intent import Wanted
from autostop_cli.repair.recover import Recovery
from autostop_local.world.resources import Snapshot, Volume
from tests.simulation.lab import Lab
from tests.simulation.messages import Disorder

# Longer than every back-off, visibility and slow snapshot together.
_AT_MOST = timedelta(hours=14)
_FOR_GOOD = timedelta(days=9)


class StuckError(Exception):
    """It did not come to rest as it should; begins with the kind of the problem."""


def calm_down(lab: Lab) -> None:
    """The weather clears up, messages come in order, and lists tell what is."""
    lab.weather.clear_up()
    lab.messages.disorder = Disorder()
    lab.world.lag = None


def take_back(lab: Lab) -> None:
    """Nothing fails any more, and all can be seen."""
    world = lab.world
    world.fail_next_snapshots(0)
    world.fail_next_volumes(0)
    world.fail_next_boots(0)
    world.lack_capacity(())
    if lab.ec2_state() != "gone":
        world.break_agent(lab.workstation, broken=False)
        world.lose_metrics(lab.workstation, lost=False)
    lab.oracle.activity.blind_since = None


def recover(lab: Lab) -> str | None:
    """`autostop recover`: what was lost, and is written anew."""
    recovery = Recovery(lab.instances, lab.disks, lab.ledger, lab.queue, lab.clock)
    instance = lab.instances.find(instance_of(lab.workstation))
    finding = recovery.look(instance) if instance is not None and not instance.is_gone else None
    if finding is None or finding.new is None:
        return None
    recovery.mend(finding)
    return finding.lost


def work_again(lab: Lab) -> None:
    """As `wake`, by an owner who works from then on."""
    lab.works_until = lab.clock() + _FOR_GOOD
    wake(lab)


def one_more_night(lab: Lab) -> None:
    """Whole after a tap, asleep, awake and whole, with nothing left over but by a person. Raises StuckError."""
    whole(lab, "after the tap")
    lab.oracle.write()
    lab.tag(lab.workstation, "autostop:shelve-after", "0")
    lab.works_until = lab.clock()
    fall_asleep(lab)
    work_again(lab)
    whole(lab, "after the last night")
    lab.pass_time(timedelta(minutes=30))
    if not lab.oracle.forgiven:
        nothing_left_over(lab)


def wake(lab: Lab) -> None:
    """The owner taps, and again where it says so; it runs, or a person destroyed what it needs. Raises StuckError."""
    for _ in range(2):
        lab.tap("start")
        lab.pass_time(timedelta(minutes=1))
        if lab.pass_time(_AT_MOST, lambda: lab.reached(Wanted.RUN) and lab.ec2_state() == "running"):
            return
        if blocked(lab) and meddled(lab):
            return
        if "then ask for a start" not in told_state(lab):
            break
    raise StuckError(f"stuck: it does not wake: {told_state(lab)}")


def fall_asleep(lab: Lab) -> None:
    """The owner is away; it is shelved, and what is kept detached is let go. Raises StuckError."""
    if not lab.pass_time(_AT_MOST, lambda: lab.reached(Wanted.SHELVE)):
        raise StuckError(f"stuck: it does not fall asleep: {told_state(lab)}")
    if lab.keeps and lab.seed % 2:
        return  # it is woken while they are there
    if lab.keeps:
        lab.pass_time(_AT_MOST, lambda: lab.reached(Wanted.SHELVE) and lab.state().kept_since is None)
    if there := [each.id for each in _strays(lab) if each.state != "deleting"]:
        raise StuckError(f"left over: volumes while asleep: {there}")


def whole(lab: Lab, when: str) -> None:
    """Every volume is as it was, with its latest content. Raises StuckError.

    Whether one goes with its instance may be put back after the start, and is waited for.
    """
    if _reshaped(lab, but_for_flags=True) is None:
        lab.pass_time(_AT_MOST, lambda: _reshaped(lab) is None)
    if (wrong := _reshaped(lab)) is not None:
        raise StuckError(f"stuck: {when} the volumes are not as before: {wrong}")
    for device, volume in lab.world.cloud.instances[lab.workstation].volumes.items():
        have = lab.content.of_volume(volume)
        if device in lab.oracle.newest and have != lab.oracle.newest[device]:
            raise StuckError(f"lost: {when} {device} holds {have}, not {lab.oracle.newest[device]}")


def _reshaped(lab: Lab, *, but_for_flags: bool = False) -> str | None:
    """What is not as before, in words. but_for_flags: whether volumes go with their instance counts for nothing."""
    skipped = set(lab.shape_at_first) if but_for_flags else lab.detached_by_hand

    def seen(device: str, shape: tuple[object, ...]) -> tuple[object, ...]:
        # Where an account encrypts by default, what was not encrypted may be by now, with the account's own key.
        own = lab.world.cloud.encrypted_by_default and shape[4] == lab.world.cloud.default_key()
        if shape[1] in lab.sizes.get(device, ()) and device in lab.shape_at_first:
            # Its owner wanted it larger; the IOPS of gp2 follow from its size.
            size, iops = lab.shape_at_first[device][1:3]
            shape = (shape[0], size, iops if shape[0] == "gp2" else shape[2], *shape[3:])
        return (*shape[:4], None if own else shape[4], shape[5], None if device in skipped else shape[6], *shape[7:])

    shape = {device: seen(device, each) for device, each in lab.shape().items()}
    wanted = {device: seen(device, each) for device, each in lab.shape_at_first.items()}
    wrong = [f"{key}: {shape.get(key)} for {value}" for key, value in wanted.items() if shape.get(key) != value]
    wrong = [each for each in wrong if each.partition(":")[0] not in lab.given_up | lab.oracle.shape_unknown]
    return f"{wrong}, {sorted(shape)}" if wrong or set(shape) - set(wanted) else None


def nothing_left_over(lab: Lab) -> None:
    """While it runs: its own volumes, one snapshot for each, and no message. Raises StuckError.

    Tidying up is no part of a wake: it is waited for, longer than what was refused once takes to be tried again.
    """
    lab.pass_time(_AT_MOST, lambda: _left_over(lab) is None)
    if (left := _left_over(lab)) is not None:
        raise StuckError(f"left over: {left}")


def _left_over(lab: Lab) -> str | None:
    """What is there and should not be, in words."""
    instance = lab.world.cloud.instances[lab.workstation]
    if stray := {each.id for each in _strays(lab)} - set(instance.volumes.values()):
        return f"volumes {sorted(stray)}"
    falsified = {each.tags.get("autostop:device", "") for each in _snapshots_edited(lab)}
    per_device: dict[str, list[str]] = {}
    for each in lab.world.cloud.snapshots.values():
        if "autostop" in each.tags and each.id not in lab.edited_by_hand:
            told = f"{each.id} {each.state} {each.tags.get('autostop:cycle')}/{each.tags.get('autostop:attempt')}"
            per_device.setdefault(each.tags.get("autostop:device", each.volume_id), []).append(told)
    if any(len(told) > 1 for told in per_device.values()) or not set(per_device) >= set(instance.volumes) - falsified:
        return f"snapshots {per_device}"
    return f"{len(lab.messages.waiting)} messages: {lab.messages.waiting[:3]}" if lab.messages.waiting else None


def _snapshots_edited(lab: Lab) -> list[Snapshot]:
    return [each for each in lab.world.cloud.snapshots.values() if each.id in lab.edited_by_hand]


def _strays(lab: Lab) -> list[Volume]:
    """Its volumes, but for those whose tags a person has falsified for a while: they are for `recover` to show."""
    return [each for each in lab.disks_there() if each.id not in lab.edited_by_hand]


def meddled(lab: Lab) -> bool:
    """Whether a person destroyed what may be needed, even where the same content happens to be elsewhere too."""
    return bool(lab.oracle.forgiven or lab.oracle.deleted_by_hand)


def blocked(lab: Lab) -> bool:
    """Whether it waits for a person, who is told why."""
    try:
        return bool(lab.state().blocked)
    except DeniedError:
        return True


def damaged(lab: Lab) -> bool:
    """Whether its state cannot be read."""
    try:
        lab.state()
    except DeniedError:
        return True
    return False


def told_state(lab: Lab) -> str:
    """How it stands, for a report."""
    try:
        state = lab.state()
    except DeniedError:
        return f"{lab.ec2_state()}, its item is damaged"
    intent = state.intent
    told = f"{intent.wanted} #{intent.number} by {intent.by}" if intent else "no intent"
    return f"{lab.ec2_state()}, {told}, waiting for {state.waiting_for}, blocked: {state.blocked}"
