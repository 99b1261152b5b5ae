"""The command `uninstall`: away with what `create` made, and with the stacks; the data stays unless it is named."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any

import click

from autostop import tags
from autostop.app.status import Phase
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.cost import cost_now
from autostop.model import Instance, InstanceState, Snapshot, SpotKind, Volume, WorkstationId
from autostop.ports import DeniedError, TransientError
from autostop_cli import secret_parameters
from autostop_cli.account import Account
from autostop_cli.arguments import Word, dry_run, yes
from autostop_cli.consent import agreed
from autostop_cli.create import WORKSTATION_STACK, group_name, is_over, machine_of, made_as, refuse_taken_name
from autostop_cli.create_plan import Plan
from autostop_cli.deploy import Stacks, code_bucket, remove_bucket
from autostop_cli.new_machine import parse_name
from autostop_cli.terminal import FailedError, dollars, say

# Where docs/notices.md says to keep the stack's own URL.
NOTICE_URL = "/autostop/notice-url"
_LOOK_EVERY_SECONDS = 5
_LOOKS = 360


@click.argument("name", type=Word("name", parse_name), required=False)
@click.option("--all", "everything", is_flag=True, help="The stacks, once nobody needs them.")
@click.option("--delete-data", metavar="NAME", help="Its disks and snapshots, too: type its name once more.")
@yes
@dry_run("Show what would be removed, and remove nothing.")
def uninstall_as_named(
    account: Account, *, name: str | None, everything: bool, delete_data: str | None, yes: bool, dry_run: bool
) -> None:
    """Remove the workstation that `create` made under a NAME. Its last snapshots stay, unless you say otherwise."""
    if everything == (name is not None):
        raise click.UsageError("Give a NAME, or --all.")
    if delete_data is not None and delete_data != name:
        raise click.UsageError("--delete-data takes the very name of the workstation, and nothing else.")
    if name is None:
        uninstall_all(account, yes=yes, dry_run=dry_run)
    else:
        uninstall(account, name, delete_data=delete_data is not None, yes=yes, dry_run=dry_run)


def uninstall(account: Account, name: str, *, delete_data: bool, yes: bool, dry_run: bool) -> None:
    """Remove the workstation that `create` made under a name, after showing what goes and what stays.

    delete_data: its owner has typed its name for it. Safe to repeat.
    """
    removal = _Removal(account, name)
    lines = removal.shown(delete_data=delete_data)
    if not lines:
        say(f"There is nothing of {name} here.")
        return
    say(*lines)
    if not agreed(f"Remove {name}?", yes=yes, dry_run=dry_run):
        return
    removal.run(delete_data=delete_data)
    say("", f"{name} is gone. The stacks stay: autostop uninstall --all takes them away.")


def why_not_terminate(instance: Instance, volumes: Sequence[Volume]) -> str | None:
    """Why a termination would lose data: it may take no volume along. The owner's typed word stands above this. Pure.

    volumes: attached to it.
    """
    if instance.state is not InstanceState.STOPPED:
        return f"{instance.id} is not stopped"
    taken = [each.id for each in volumes if each.attached_to == instance.id and each.delete_on_termination is not False]
    return f"{', '.join(taken)} would be deleted with {instance.id}" if taken else None


@dataclass(frozen=True, slots=True)
class _Removal:
    account: Account
    name: str

    def shown(self, *, delete_data: bool) -> list[str]:
        """What goes, and what stays; nothing when there is nothing."""
        machines = self._machines()
        if not machines:
            refuse_taken_name(self.account, self.name)
        lines = [f"goes   instance {each}" for each in machines if not self._is_terminated(each)]
        there = (volume for machine in machines for volume in self.account.disks.volumes(machine))
        lines += [f"stays  {each.id}, which its owner attached" for each in there if not tags.is_ours(each.tags)]
        volumes, snapshots = self._data(machines)
        data = [*(each.id for each in volumes), *(each.id for each in snapshots)]
        if data and not delete_data:
            cost = dollars(cost_now(volumes, snapshots))
            return [
                *lines,
                f"stays  {', '.join(data)}: at most {cost}",
                *(f"stays  security group {each}, for `autostop recover {machines[0]}`" for each in self._groups()),
                f"       What is awake is put to sleep first. The data goes with --delete-data {self.name}.",
            ]
        lines += [f"goes   {each}" for each in data]
        lines += [f"goes   security group {each}" for each in self._groups()]
        return lines or ([f"goes   the plan of {self.name}"] if self._plan() is not None else [])

    def run(self, *, delete_data: bool) -> None:
        machines = self._machines()
        for workstation in machines:
            instance = self.account.find(workstation)
            # With their attachments, which tell of a disk that carries no other sign of whose it is.
            volumes, _ = self._data([workstation])
            if instance is not None and not instance.is_gone:
                if not delete_data:
                    self._put_to_sleep(instance)
                self._terminate(workstation, delete_data=delete_data)
            self._wait(partial(self._is_terminated, workstation), f"{workstation} to be terminated")
            if delete_data:
                self._delete_data(workstation, volumes)
            secret_parameters.forget(self.account, workstation)
            self.account.ledger.forget(workstation)
        plans, plan = self.account.plans, self._plan()
        if any(self._data(machines)):
            # With its group it can be built anew, and the plan tells whose the data is.
            if plan is not None:
                plans.put(replace(plan, removed=True), plan)
            return
        for group in self._groups():
            self._delete_group(group)
        if plan is not None:
            plans.drop(plan)

    def _data(self, machines: Sequence[WorkstationId]) -> tuple[list[Volume], list[Snapshot]]:
        """What carries our tags of them."""
        disks, ours = self.account.disks, tags.is_ours
        volumes = [each for machine in machines for each in disks.volumes(machine) if each.exists and ours(each.tags)]
        snapshots = [each for machine in machines for each in disks.snapshots(machine) if ours(each.tags)]
        return volumes, snapshots

    def _plan(self) -> Plan | None:
        return self.account.plans.find(self.name)

    def _machines(self) -> list[WorkstationId]:
        """Also one that is terminated already, of which something may be left."""
        found, plan = made_as(self.account, self.name), self._plan()
        if plan is not None and plan.instance and plan.instance not in found:
            instance = machine_of(self.account, plan)
            # One that is there without our tag was unadopted: it is its owner's alone.
            found += [plan.instance] if instance is None or instance.is_gone else []
        return [WorkstationId(each) for each in found]

    def _groups(self) -> list[str]:
        by_tag, by_name = f"tag:{tags.CREATED}", group_name(self.name)
        with aws_errors():
            found = self.account.ec2.describe_security_groups(
                Filters=[{"Name": by_tag, "Values": [self.name]}, {"Name": "group-name", "Values": [by_name]}]
            )["SecurityGroups"]
        return [each.get("GroupId", "") for each in found]

    def _put_to_sleep(self, instance: Instance) -> None:
        """Stopped, its disks shelved where they are shelved at all; those that stay are kept as volumes."""
        policy = self.account.policy(instance)
        shelved = policy.shelve_after is not None and instance.spot is None
        if instance.is_up:
            self.account.owner.stop(instance.workstation, "autostop uninstall")
        told = ""

        def asleep() -> bool:
            nonlocal told
            status = self.account.owner.status(instance.workstation)
            if status.headline != told:
                told = status.headline
                say(f"{instance.id}: {told}")
            if status.phase is Phase.BLOCKED:
                raise FailedError(status.headline, *status.problems)
            now = self.account.instances.find(instance.id)
            stopped = now is not None and now.state is InstanceState.STOPPED
            there = [each for each in self.account.disks.volumes(instance.workstation) if each.exists]
            if policy.delete_after != timedelta(0):
                # Shelved they are kept for a while, detached.
                there = [each for each in there if each.attached_to is not None]
            return stopped and not (shelved and there)

        self._wait(asleep, f"{instance.id} to sleep")

    def _terminate(self, workstation: WorkstationId, *, delete_data: bool) -> None:
        instance = self.account.find(workstation)
        if instance is None or instance.is_gone:
            return
        for volume in self.account.disks.volumes(workstation):
            goes = delete_data and tags.is_ours(volume.tags)
            if volume.attached_to == instance.id and volume.device and volume.delete_on_termination and not goes:
                self.account.instances.set_delete_on_termination(instance.id, volume.device, volume.id, flag=False)
        why_not = why_not_terminate(instance, self.account.disks.volumes(workstation))
        if why_not is not None and not delete_data:
            raise DeniedError(f"{why_not}. Run it again.")
        with aws_errors():
            if instance.spot is SpotKind.PERSISTENT:
                # Else EC2 would launch another in its place.
                (reservation,) = self.account.ec2.describe_instances(InstanceIds=[instance.id])["Reservations"]
                request = reservation["Instances"][0].get("SpotInstanceRequestId", "")
                self.account.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
            self.account.ec2.terminate_instances(InstanceIds=[instance.id])
        say(f"terminating {instance.id}")

    def _is_terminated(self, workstation: WorkstationId) -> bool:
        now = self.account.find(workstation)
        return now is None or now.state is InstanceState.TERMINATED

    def _delete_data(self, workstation: WorkstationId, attached: Sequence[Volume]) -> None:
        """By the owner's typed word: the one deletion that asks for no snapshot. What is not ours stays."""
        volumes, snapshots = self._data([workstation])
        for volume in dict.fromkeys(each.id for each in (*attached, *volumes)):
            say(f"deleting {volume}")
            self.account.disks.delete(volume)
        for snapshot in snapshots:
            say(f"deleting {snapshot.id}")
            self.account.disks.delete_snapshot(snapshot.id)

    def _delete_group(self, group: str) -> None:
        def deleted() -> bool:
            # A terminated instance holds its groups a little longer.
            with aws_errors(), AlreadySo("DependencyViolation"):
                with AlreadySo("InvalidGroup.NotFound"):
                    self.account.ec2.delete_security_group(GroupId=group)
                return True
            return False

        say(f"deleting security group {group}")
        self._wait(deleted, f"{group} to be free")

    def _wait(self, reached: Callable[[], bool], what: str) -> None:
        for _ in range(_LOOKS):
            if reached():
                return
            self.account.sleep(_LOOK_EVERY_SECONDS)
        raise TransientError(f"Waiting for {what} took too long. Run it again: it goes on.")


def uninstall_all(account: Account, *, yes: bool, dry_run: bool) -> None:
    """Remove the stacks. Raises FailedError while a workstation needs them."""
    stack, bucket = account.stack, code_bucket(account.number, account.region)
    stacks = Stacks(account.cloudformation, account.sleep, say)
    of_machines = (stacks.outputs(WORKSTATION_STACK) or {}).get("BucketName", "")
    there = account.workstations()
    created, data = [], list[str]()
    for plan in account.plans.all():
        if is_over(account, plan):
            data += [each.id for each in account.disks.snapshots(WorkstationId(plan.instance))]
        elif (machine := machine_of(account, plan)) is None or tags.CREATED in machine.tags:
            created.append(plan.name)  # what is there without our tag was unadopted
    asleep = [each for each in there if account.owner.status(each.workstation).phase is not Phase.AWAKE]
    if created:
        raise FailedError(f"First remove what was created: autostop uninstall {created[0]}")
    if asleep:
        who = ", ".join(f"{each.name} ({each.id})" for each in asleep)
        raise FailedError(f"Nobody could wake {who} then. Nothing was changed. Wake them first.")
    lines = [f"goes   stack {stack.name}", f"goes   table {stack.table}", f"goes   stack {WORKSTATION_STACK}"]
    lines += [f"goes   bucket {bucket}, the functions' code", f"goes   parameter {NOTICE_URL}, where it is there"]
    lines += [f"stays  bucket {of_machines}, unless it is empty"] if of_machines else []
    lines += [f"stays  {', '.join(data)}: to have that back, use `autostop recover` before"] if data else []
    lines += [f"stays  {each.name} ({each.id}), which nobody puts to sleep any more" for each in there]
    say(*lines)
    if not agreed("Remove all of it?", yes=yes, dry_run=dry_run):
        return
    stacks.delete(stack.name)
    with aws_errors(), AlreadySo("ResourceNotFoundException"):
        account.dynamodb.delete_table(TableName=stack.table)
    with aws_errors(), AlreadySo("ParameterNotFound"):
        account.ssm.delete_parameter(Name=NOTICE_URL)
    stacks.delete(WORKSTATION_STACK)
    remove_bucket(account.s3, bucket, account.number)
    kept: Any = of_machines
    if of_machines:
        with aws_errors(), AlreadySo("BucketNotEmpty", "NoSuchBucket"):
            account.s3.delete_bucket(Bucket=of_machines, ExpectedBucketOwner=account.number)
            kept = None
    say("", f"All of it is gone{f' but the bucket {kept}, which holds files' if kept else ''}.")
