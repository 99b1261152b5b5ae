"""What Autostop never takes on: instances and volumes, each with the reason in the owner's words. Pure.

The reconciler asks again before each stop and each shelving: what was suitable at its adoption may have changed.
"""

from collections.abc import Sequence

from autostop import tags
from autostop.model import Instance, SpotKind, Volume


def why_never_stop(instance: Instance) -> str | None:
    """Why this instance must not be stopped at all; None when it may be."""
    if not instance.root_is_ebs:
        return "its root device is an instance store, which cannot be stopped. Move it to an EBS root volume."
    if instance.spot is SpotKind.ONE_TIME:
        return "it is a one-time Spot instance, which EC2 cannot stop. Use On-Demand or a persistent Spot request."
    if group := instance.tags.get(tags.AUTO_SCALING_GROUP):
        return f"it belongs to the Auto Scaling group {group}, which would replace it. Take it out of the group."
    if instance.operator:
        return f"it is managed by {instance.operator}, which alone may stop it. Take the tag `autostop` from it."
    if instance.hibernation:
        return "it is enabled for hibernation, and snapshots of such volumes may not start. Launch it without."
    if instance.stop_protected:
        return "its stop protection is on. Turn off `disableApiStop` if Autostop may stop it."
    if instance.instance_store_gb and not tags.instance_store_is_scratch(instance.tags):
        return (
            f"type {instance.type} has instance-store disks ({instance.instance_store_gb} GB), and a stop empties "
            f"them. If they hold nothing of worth, say so: `autostop adopt {instance.id} --instance-store-is-scratch`."
        )
    return None


def why_never_shelve(instance: Instance, volumes: Sequence[Volume]) -> str | None:
    """Why this workstation's volumes must not be deleted; None when they may be. Spot is only stopped."""
    if instance.marketplace:
        return "its root volume has a Marketplace product code, and such volumes may not come back."
    for volume in volumes:
        if volume.operator:
            return f"volume {volume.id} is managed by {volume.operator}, which alone may delete it. Remove it there."
        if volume.multi_attach:
            return f"volume {volume.id} can be attached to several instances. Turn multi-attach off or remove it."
        most = tags.MOST_OWN_TAGS_OF_ROOT if volume.device == instance.root_device else tags.MOST_OWN_TAGS
        if len(tags.own(volume.tags)) > most:
            return (
                f"volume {volume.id} has more than {most} tags, and its snapshot has no room for "
                "what Autostop must write. Remove some."
            )
    if len(tags.device_names(volume.device or "" for volume in volumes)) > tags.LONGEST_VALUE:
        return f"the names of its {len(volumes)} devices do not fit into one tag. Detach some of its volumes."
    return None


def why_not_ours(seen: Sequence[Volume], workstation: str) -> str | None:
    """Which attached volume Autostop may not touch because nobody adopted it; None when all are adopted."""
    for volume in seen:
        if not tags.are_of(volume.tags, workstation):
            return f"volume {volume.id} at {volume.device} is not adopted. Run `autostop adopt {workstation}` again."
    return None
