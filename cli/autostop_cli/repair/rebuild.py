"""Build a new instance in the place of a workstation that is gone, from the snapshots of its last shelving.

Each step is found again by tags and names, so that a repeated or interrupted call goes on where the last one ended and
leaves nothing over.
"""

from dataclasses import dataclass, replace
from typing import Any

from botocore.exceptions import WaiterError

from autostop import tags
from autostop.aws.ec2 import shapes_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.model import LISTS_LAG_FOR, InstanceId, Observation, Volume, WorkstationId, instance_of, workstation_of
from autostop.ports import BurnedTokenError, ConflictError, DamagedError, DeniedError, TransientError
from autostop.sleep.from_tags import UnreadableError
from autostop.sleep.intent import By, Intent, Wanted
from autostop.state import Happened, State
from autostop_cli.account import Account
from autostop_cli.naming import instances_with
from autostop_cli.repair.images import deregister, images_of, images_where
from autostop_cli.repair.instance_configuration import told_by_ec2
from autostop_cli.repair.rebuild_plan import RebuildPlan, plan_rebuild
from autostop_cli.terminal import say

_NAP_SECONDS = 2
_MOST_NAPS = 300


@dataclass(frozen=True, slots=True)
class Rebuild:
    """One workstation that is gone. Every method raises TransientError, DeniedError."""

    account: Account
    gone: WorkstationId

    def plan(self) -> RebuildPlan:
        """What would be built. Raises UnreadableError with the reason when nothing is."""
        account, gone = self.account, self.gone
        volumes, snapshots = account.disks.volumes(gone), account.disks.snapshots(gone)
        seen = Observation(gone, account.find(gone), tuple(volumes), tuple(snapshots))
        return plan_rebuild(seen, told_by_ec2(account.ec2, gone), account.stack.policy)

    def built(self) -> WorkstationId | None:
        """The instance that was launched in its place, by the tag that it was launched with; None without one."""
        found = list(instances_with(self.account, tags.RECOVERED_FROM, self.gone))
        if len(found) > 1:
            raise DeniedError(
                f"{' and '.join(found)} both carry the tag {tags.RECOVERED_FROM} = {self.gone}. Remove it from the "
                "one that does not replace it, or terminate that one."
            )
        return workstation_of(InstanceId(found[0])) if found else None

    def is_finished(self) -> bool:
        """True when nothing of the workstation that is gone is left to hand over."""
        return not self.account.disks.snapshots(self.gone) and not images_of(self.account.ec2, self.gone)

    def build(self) -> WorkstationId:
        """Build it, or finish what was begun; the new workstation."""
        new = self.built()
        try:
            plan = self.plan()
        except UnreadableError as error:
            # The snapshots tell no more of the old one once they have begun to change hands.
            if new is None or self._unclaimed(new):
                raise DeniedError(f"{self.gone} is not built anew: {error}.") from None
        else:
            if new is None or self._unclaimed(new):
                new = new or self._launch(plan)
                self._await_running(new)
                self._claim(plan, new)
            # Before the snapshots change hands: from then on they do not tell of the old one any more.
            self._write_down(plan, new)
        for snapshot in self.account.disks.snapshots(self.gone):
            # The new workstation lets go of them, as soon as it was started from later ones.
            self._tag(snapshot.id, {tags.WORKSTATION: new})
            say(f"{snapshot.id} belongs to {new} now")
        for image in images_of(self.account.ec2, self.gone):
            deregister(self.account.ec2, image)
            say(f"the image {image} is not needed any more")
        self._tell_old(new)
        self.account.queue.wake(new)
        return new

    def _launch(self, plan: RebuildPlan) -> WorkstationId:
        image = self._register(plan)
        say(f"the image {image} is made from the root's snapshot")
        try:
            # By filter and not by id, so that one that is not listed yet is no error.
            self._wait("image_available", Filters=[{"Name": "image-id", "Values": [image]}], Owners=["self"])
        except WaiterError as error:
            raise TransientError(f"EC2 did not make the image {image}: {error.kwargs['reason']}.") from error
        try:
            with aws_errors():
                answer = self.account.ec2.run_instances(**plan.run_instances(image))
            new = workstation_of(InstanceId(answer["Instances"][0].get("InstanceId", "")))
        except BurnedTokenError as error:
            new = self._launched_before(image, error)
        say(f"{new} is launched, as {plan.parameters['InstanceType']}")
        return new

    def _launched_before(self, image: str, error: BurnedTokenError) -> WorkstationId:
        """What an earlier call launched from this image, as soon as EC2 lists it. Raises TransientError: it is gone."""
        until = self.account.clock() + LISTS_LAG_FOR
        while (new := self.built()) is None:
            if self.account.clock() > until:
                # The next call launches from another image, which makes it another request.
                deregister(self.account.ec2, image)
                raise TransientError(f"What was launched from {image} before is gone, and now the image is.") from error
            self.account.sleep(_NAP_SECONDS)
        return new

    def _register(self, plan: RebuildPlan) -> str:
        """RegisterImage has no client token: the image is found again by its name."""
        if known := images_where(self.account.ec2, [{"Name": "name", "Values": [plan.image_name]}]):
            return next(iter(known))
        with aws_errors(), AlreadySo("InvalidAMIName.Duplicate"):
            return self.account.ec2.register_image(**plan.register_image())["ImageId"]
        raise TransientError(f"EC2 has the image {plan.image_name} and does not list it yet.")

    def _await_running(self, new: WorkstationId) -> None:
        try:
            self._wait("instance_running", InstanceIds=[new])
        except WaiterError as error:
            instance = self.account.find(new)
            if instance is None or not instance.is_gone:
                raise TransientError(f"{new} takes long to start.") from error
            # EC2 took the launch and ended it. Without another image the same request would tell of this instance.
            for image in images_of(self.account.ec2, self.gone):
                deregister(self.account.ec2, image)
            why = instance.state_reason or "EC2 does not say why"
            raise DeniedError(
                f"EC2 launched {new} and terminated it again: {why}. If the disks are encrypted: may you use their "
                "KMS key? See to that, then run it again. The snapshots are as they were."
            ) from error
        say(f"{new} is running")

    def _unclaimed(self, new: WorkstationId) -> list[Volume]:
        """Its volumes that were made from the snapshots and do not carry its tags yet."""
        made_from = {snapshot.id for snapshot in self.account.disks.snapshots(self.gone)}
        return [
            volume
            for volume in self.account.disks.volumes(new)
            if volume.snapshot in made_from and volume.tags.get(tags.WORKSTATION) != new
        ]

    def _claim(self, plan: RebuildPlan, new: WorkstationId) -> None:
        """Give each volume its tags and settings. Raises TransientError when EC2 does not list all of them in time."""
        account, manifest = self.account, plan.manifest_for(new)
        records, until = {record.device: record for record in manifest.volumes}, account.clock() + LISTS_LAG_FOR
        while True:
            for volume in self._unclaimed(new):
                record = records.get(volume.device or "")
                if record is None:
                    continue
                if volume.delete_on_termination is not record.delete_on_termination:
                    flag = record.delete_on_termination
                    account.instances.set_delete_on_termination(instance_of(new), record.device, volume.id, flag=flag)
                self._tag(volume.id, manifest.volume_tags(record))
                say(f"{volume.id} is {record.device}, restored from {record.snapshot}")
            listed = account.disks.volumes(new)
            if records.keys() <= {each.device for each in listed if each.tags.get(tags.WORKSTATION) == new}:
                return
            if account.clock() > until:
                raise TransientError(f"EC2 does not list all volumes of {new} yet.")
            account.sleep(_NAP_SECONDS)

    def _write_down(self, plan: RebuildPlan, new: WorkstationId) -> None:
        """Want it running: the reconciler then sees to it that it works, and lets go of older cycles."""

        def decide(state: State) -> State:
            if state.manifest is not None:
                return state
            # Sweeps may have written of the new one already; its numbers go on after those of the old one.
            number = max(plan.manifest.intent, state.intent.number if state.intent else 0) + 1
            why = f"it was built in the place of {self.gone}"
            intent = Intent(number, Wanted.RUN, By.OWNER, self.account.clock(), why)
            return replace(state.wanting(intent), manifest=plan.manifest_for(new), fallback=plan.fallback)

        before, after = self.account.ledger.change(new, decide)
        if after.intent is not None and after != before:
            self.account.ledger.record(
                new, Happened(after.intent.at, after.intent.number, after.intent.why, after.intent)
            )

    def _tell_old(self, new: WorkstationId) -> None:
        """For those who still open its old link; nothing depends on it."""
        ledger = self.account.ledger
        try:
            state = ledger.load(self.gone)
            if state.version:
                intent = state.intent.settle(self.account.clock()) if state.intent else None
                ledger.save(replace(state, intent=intent, blocked=f"It is gone; {new} was built in its place."))
        except (ConflictError, DamagedError):
            return

    def _tag(self, resource: str, given: dict[str, str]) -> None:
        with aws_errors():
            self.account.ec2.create_tags(Resources=[resource], Tags=shapes_of(given))

    def _wait(self, what: str, **asked: Any) -> None:
        """Ask EC2 until it is so, for at most ten minutes. Raises WaiterError."""
        waiter: Any = self.account.ec2.get_waiter(what)  # type: ignore[call-overload]  # any of its names
        waiter.wait(**asked, WaiterConfig={"Delay": _NAP_SECONDS, "MaxAttempts": _MOST_NAPS})
