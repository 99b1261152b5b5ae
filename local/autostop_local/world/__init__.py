"""The world of the cloud on your desk: EC2, EBS, Run Command and instance metrics that keep AWS's rules."""

from autostop_local.world.clocks import Clock, VirtualClock, WallClock
from autostop_local.world.content import Content, DirectoryContent, MemoryContent
from autostop_local.world.errors import AwsError
from autostop_local.world.journal import Call, Journal
from autostop_local.world.jupyter import JupyterMachines, JupyterServer
from autostop_local.world.machines import Execution, Machine, Machines, Outcome, VirtualMachines
from autostop_local.world.serving import serve
from autostop_local.world.timings import Timings
from autostop_local.world.world import World

__all__ = [
    "AwsError", "Call", "Clock", "Content", "DirectoryContent", "Execution", "Journal", "JupyterMachines",
    "JupyterServer", "Machine", "Machines", "MemoryContent", "Outcome", "Timings", "VirtualClock", "VirtualMachines",
    "WallClock", "World", "serve",
]  # fmt: skip
