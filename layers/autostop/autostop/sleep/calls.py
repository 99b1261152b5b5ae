"""The calls of EC2 and EBS that the way to sleep and back is made of."""

from enum import StrEnum


class Call(StrEnum):
    """The calls that a step can make, by EC2's names; `app/execute.py` has the table of them."""

    STOP = "StopInstances"
    START = "StartInstances"
    NOTE_TYPE = "CreateTags on the instance"
    CHANGE_TYPE = "ModifyInstanceAttribute InstanceType"
    SET_DELETE_ON_TERMINATION = "ModifyInstanceAttribute DeleteOnTermination"
    CREATE_SNAPSHOTS = "CreateSnapshots"
    TAG_SNAPSHOT = "CreateTags on a snapshot"
    DELETE_SNAPSHOT = "DeleteSnapshot"
    CREATE_VOLUME = "CreateVolume"
    ATTACH = "AttachVolume"
    DETACH = "DetachVolume"
    DELETE_VOLUME = "DeleteVolume"
