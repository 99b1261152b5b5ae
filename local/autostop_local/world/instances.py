"""EC2 instances: the calls that change them once they are there, and their states."""

import base64
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.instance_types import INSTANCE_TYPES
from autostop_local.world.machines import Machine
from autostop_local.world.resources import INSTANCE_STATES, Instance
from autostop_local.world.volumes import Volumes

_log = logging.getLogger(__name__)

_LOOK_AGAIN = timedelta(milliseconds=100)  # at a machine that is still shutting down
_LOOK_AT_HANGING = timedelta(minutes=1)
_USER_STOP = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")


class Instances:
    """The calls that start, stop, end and change instances, by AWS's names in `operations`.

    About repeated calls AWS's pages say nothing; here a start of a running and a stop of a stopped instance succeed.
    """

    def __init__(self, cloud: Cloud, volumes: Volumes, measure: Callable[[Instance, datetime], None]) -> None:
        """`measure` is called when a running instance is about to stop, so that its last metrics are not lost."""
        self._cloud = cloud
        self._volumes = volumes
        self._measure = measure
        self.failing_boots = 0  # so many of the next starts fail after the call has succeeded
        self.operations: dict[str, Callable[[Params], Reply]] = {
            "StartInstances": self.start_instances,
            "StopInstances": self.stop_instances,
            "TerminateInstances": self.terminate_instances,
            "ModifyInstanceAttribute": self.modify_instance_attribute,
            "CancelSpotInstanceRequests": self.cancel_spot_instance_requests,
        }

    def start_instances(self, params: Params) -> Reply:
        instances = [self._cloud.instance(one) for one in params["InstanceIds"]]
        for instance in instances:
            self._check_start(instance)
        changes = []
        for instance in instances:
            before = instance.state
            if before == "stopped":
                self.begin(instance)
            changes.append(_change(instance, before))
        return {"StartingInstances": changes}

    def stop_instances(self, params: Params) -> Reply:
        instances = [self._cloud.instance(one) for one in params["InstanceIds"]]
        for instance in instances:
            self._check_stop(instance)
        changes = []
        for instance in instances:
            before = instance.state
            if before == "running":
                instance.transition_reason = f"User initiated ({self._cloud.now():%Y-%m-%d %H:%M:%S} GMT)"
                self.stop(instance, _USER_STOP)
            changes.append(_change(instance, before))
        return {"StoppingInstances": changes}

    def terminate_instances(self, params: Params) -> Reply:
        instances = [self._cloud.instance(one) for one in params["InstanceIds"]]
        for instance in instances:
            for guarded, attribute in (
                (instance.disable_api_termination, "disableApiTermination"),
                (instance.disable_api_stop, "disableApiStop"),
            ):
                if guarded:
                    raise AwsError(
                        "OperationNotPermitted",
                        f"The instance '{instance.id}' may not be terminated. "
                        f"Modify its '{attribute}' instance attribute and try again.",
                    )
        changes = []
        for instance in instances:
            before = instance.state
            if before not in ("shutting-down", "terminated"):
                self._terminate(instance)
            changes.append(_change(instance, before))
        return {"TerminatingInstances": changes}

    def cancel_spot_instance_requests(self, params: Params) -> Reply:
        """What is stopped under a request that is disabled is terminated with it (EC2 User Guide, Spot requests)."""
        spots = self._cloud.spots
        for one in params["SpotInstanceRequestIds"]:
            if spots[one].state == "disabled":
                self._terminate(self._cloud.instances[spots[one].instance_id])
            spots[one].state = "cancelled"
        cancelled = [{"SpotInstanceRequestId": one, "State": "cancelled"} for one in params["SpotInstanceRequestIds"]]
        return {"CancelledSpotInstanceRequests": cancelled}

    def modify_instance_attribute(self, params: Params) -> Reply:
        instance = self._cloud.instance(params["InstanceId"])
        asked = {key: value for key, value in params.items() if key not in ("InstanceId", "DryRun")}
        if "Attribute" in asked:  # the older form: the name of the attribute, and its value as text
            name = asked["Attribute"]
            asked = {name[0].upper() + name[1:]: {"Value": asked.get("Value")}}
        if len(asked) != 1:
            raise AwsError("InvalidParameterCombination", "Fields for multiple attribute types specified")
        ((name, value),) = asked.items()
        if name == "BlockDeviceMappings":
            self._modify_devices(instance, value)
        elif name in _ATTRIBUTES:
            new = value["Value"] if isinstance(value, dict) else value
            if name == "InstanceType":
                _check_type(instance, new)
            if name in _FLAGS:
                new = new if isinstance(new, bool) else str(new).lower() == "true"
            setattr(instance, _ATTRIBUTES[name], new)
        elif name == "Groups":
            instance.security_groups = tuple(value)
        else:
            raise AwsError("InvalidParameterValue", f"The attribute '{name}' cannot be modified here")
        return {}

    def stop(self, instance: Instance, reason: tuple[str, str]) -> None:
        """Stop a running instance without asking the rules; reason: code and message of the StateReason."""
        cloud, now = self._cloud, self._cloud.now()
        self._measure(instance, now)
        instance.stop_reason = reason
        self._enter(instance, "stopping", now)
        cloud.machines.shutdown(instance.id)
        cloud.timeline.at(now + cloud.timings.stopping, lambda at: self._stopped(instance, at))

    def _check_start(self, instance: Instance) -> None:
        if instance.state in ("stopping", "shutting-down", "terminated"):
            raise AwsError(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be started.",
            )
        if instance.state != "stopped":
            return
        root = self._cloud.volumes.get(instance.volumes.get(instance.root_device, ""))
        if root is None or root.attachment is None or root.attachment.state != "attached":
            raise AwsError(
                "InvalidParameterValue",
                f"Invalid value '{instance.id}' for instanceId. "
                f"Instance does not have a volume attached at root ({instance.root_device})",
            )
        spot = self._cloud.spots.get(instance.spot_request_id or "")
        if spot is not None and spot.state != "disabled":
            raise AwsError("IncorrectSpotRequestState", f"The Spot request '{spot.id}' is {spot.state}.")
        self._cloud.check_capacity(instance.type, instance.zone)

    def _check_stop(self, instance: Instance) -> None:
        if instance.state in ("pending", "shutting-down", "terminated"):
            raise AwsError(
                "IncorrectInstanceState",
                f"The instance '{instance.id}' is not in a state from which it can be stopped.",
            )
        if instance.disable_api_stop:
            raise AwsError(
                "OperationNotPermitted",
                f"The instance '{instance.id}' may not be stopped. "
                "Modify its 'disableApiStop' instance attribute and try again.",
            )
        spot = self._cloud.spots.get(instance.spot_request_id or "")
        if spot is not None and spot.type == "one-time":
            raise AwsError(
                "UnsupportedOperation",
                f"You can't stop the Spot Instance '{instance.id}' because it is associated with a one-time "
                "Spot Instance request. You can only stop Spot Instances associated with persistent Spot "
                "Instance requests.",
            )

    def begin(self, instance: Instance) -> None:
        """From stopped, or from nothing, to pending and on."""
        cloud, now = self._cloud, self._cloud.now()
        instance.launched_at = now
        instance.transition_reason, instance.state_reason = "", None
        instance.public_ip = (
            cloud.machines.address(instance.id) or f"3.{cloud.number() % 250 + 1}.{now.minute}.{now.second + 1}"
        )
        if instance.spot_request_id:
            cloud.spots[instance.spot_request_id].state = "active"
        self._enter(instance, "pending", now)
        fails = self.failing_boots > 0
        self.failing_boots -= fails
        keys = {cloud.volumes[each].kms_key_id for each in instance.volumes.values()}
        fails = fails or not keys.isdisjoint(cloud.forbidden_keys)
        cloud.timeline.at(now + cloud.timings.pending, lambda at: self._begun(instance, at, fails=fails))

    def _begun(self, instance: Instance, at: datetime, *, fails: bool) -> None:
        if instance.state != "pending":
            return
        if fails:
            # As when the caller may not use the key of an encrypted volume: the call went well, the start does not.
            instance.stop_reason = ("Client.InternalError", "Client.InternalError: Client error on launch")
            instance.transition_reason = instance.stop_reason[1]
            self._stopped(instance, at, were=("pending",))
            return
        instance.running_at = at
        self._enter(instance, "running", at)
        self._boot(instance)

    def _boot(self, instance: Instance) -> None:
        directory = self._cloud.content.instance(instance.id)
        user_data = base64.b64decode(instance.user_data or "")
        tags = instance.tags if instance.metadata_options["InstanceMetadataTags"] == "enabled" else {}
        try:
            self._cloud.machines.boot(Machine(instance.id, directory, instance.jupyter_port, user_data, dict(tags)))
        except OSError:
            # A machine that does not come up is what its owner must see; the other machines go on.
            _log.exception("%s does not boot", instance.id)

    def _boot_when_down(self, instance: Instance, at: datetime) -> None:
        if not self._cloud.machines.is_down(instance.id):
            self._cloud.timeline.at(at + _LOOK_AGAIN, lambda later: self._boot_when_down(instance, later))
        elif instance.state == "running":
            self._boot(instance)

    def _stopped(self, instance: Instance, at: datetime, were: tuple[str, ...] = ("stopping",)) -> None:
        cloud = self._cloud
        if instance.state not in were:
            return
        hangs = instance.stop_hangs and instance.state == "stopping"
        if hangs or not cloud.machines.is_down(instance.id):  # the disks may still be written to
            again = max(at, cloud.clock.now()) + (_LOOK_AT_HANGING if hangs else _LOOK_AGAIN)
            cloud.timeline.at(again, lambda later: self._stopped(instance, later))
            return
        instance.public_ip, instance.running_at = None, None
        instance.state_reason = instance.stop_reason
        if instance.spot_request_id:
            cloud.spots[instance.spot_request_id].state = "disabled"
        self._enter(instance, "stopped", at)

    def _terminate(self, instance: Instance) -> None:
        cloud, now = self._cloud, self._cloud.now()
        if instance.state == "running":
            self._measure(instance, now)
            cloud.machines.shutdown(instance.id)
        instance.transition_reason = f"User initiated ({now:%Y-%m-%d %H:%M:%S} GMT)"
        instance.state_reason = _USER_STOP
        self._enter(instance, "shutting-down", now)
        cloud.timeline.at(now + cloud.timings.shutting_down, lambda at: self._terminated(instance, at))

    def _terminated(self, instance: Instance, at: datetime) -> None:
        cloud = self._cloud
        if not cloud.machines.is_down(instance.id):
            cloud.timeline.at(max(at, cloud.clock.now()) + _LOOK_AGAIN, lambda later: self._terminated(instance, later))
            return
        instance.public_ip, instance.running_at = None, None
        self._enter(instance, "terminated", at)
        for volume_id in list(instance.volumes.values()):
            volume = cloud.volumes[volume_id]
            dies = volume.attachment is not None and volume.attachment.delete_on_termination
            volume.attachment, volume.state = None, "available"
            if dies:
                self._volumes.delete(volume)
        instance.volumes.clear()
        cloud.timeline.at(at + cloud.timings.terminated, lambda _at: self._forget(instance))

    def _forget(self, instance: Instance) -> None:
        self._cloud.instances.pop(instance.id, None)

    def _enter(self, instance: Instance, state: str, at: datetime) -> None:
        instance.state = state
        self._cloud.events.instance_state(instance.id, state, at)

    def _modify_devices(self, instance: Instance, mappings: list[dict[str, Any]]) -> None:
        """Only delete-on-termination can be changed; an omitted value counts as true."""
        found = []
        for mapping in mappings:
            device, ebs = mapping.get("DeviceName", ""), mapping.get("Ebs") or {}
            volume = self._cloud.volumes.get(instance.volumes.get(device, ""))
            attachment = volume.attachment if volume and ebs.get("VolumeId", volume.id) == volume.id else None
            if attachment is None or self._cloud.now() < attachment.mapped_at:
                raise AwsError("InvalidInstanceAttributeValue", f"No device is currently mapped at {device}")
            found.append((attachment, bool(ebs.get("DeleteOnTermination", True))))
        for attachment, dies in found:
            attachment.delete_on_termination = dies


_ATTRIBUTES = {
    "InstanceType": "type",
    "DisableApiStop": "disable_api_stop",
    "DisableApiTermination": "disable_api_termination",
    "InstanceInitiatedShutdownBehavior": "shutdown_behavior",
    "EbsOptimized": "ebs_optimized",
    "SourceDestCheck": "source_dest_check",
    "UserData": "user_data",
}
_FLAGS = ("DisableApiStop", "DisableApiTermination", "EbsOptimized", "SourceDestCheck")


def _check_type(instance: Instance, kind: str) -> None:
    if instance.state != "stopped":
        raise AwsError("IncorrectInstanceState", f"The instance '{instance.id}' is not in the 'stopped' state.")
    if kind not in INSTANCE_TYPES:
        raise AwsError("InvalidInstanceAttributeValue", f"Invalid value '{kind}' for InstanceType.")
    if instance.architecture not in INSTANCE_TYPES[kind]["ProcessorInfo"]["SupportedArchitectures"]:
        # So AWS refuses other types that do not fit (pulumi/pulumi-aws, issue 4291); for this one it is unconfirmed.
        raise AwsError(
            "InvalidInstanceAttributeValue",
            f"Modifying the instance type from {instance.type} to {kind} is not allowed.",
        )
    if instance.spot_request_id:
        raise AwsError("UnsupportedOperation", "The instance type of a Spot Instance cannot be changed.")


def _change(instance: Instance, before: str) -> dict[str, Any]:
    return {
        "InstanceId": instance.id,
        "CurrentState": {"Code": instance.state_code, "Name": instance.state},
        "PreviousState": {"Code": INSTANCE_STATES[before], "Name": before},
    }
