"""What runs inside an instance: the port to it, and machines that run nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Machine:
    """What an instance is to its machine; directory: holds the links `root` and `data-<device>` to the volumes.

    tags: as far as its metadata service tells them.
    """

    instance_id: str
    directory: Path
    jupyter_port: int | None
    user_data: bytes = b""
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a Run Command ended; code: of the shell's exit; timed_out: it was ended at its executionTimeout."""

    code: int
    stdout: str = ""
    stderr: str = ""
    timed_out: bool = False


class Execution(Protocol):
    """A command under way."""

    def poll(self) -> Outcome | None:
        """How it ended; None while it runs."""


class Machines(Protocol):
    """The hardware under the instances. No call may block for long: the world is locked meanwhile."""

    def address(self, instance_id: str) -> str | None:
        """Its public address in the start that comes now; None where the world may invent one."""

    def boot(self, machine: Machine) -> None: ...

    def shutdown(self, instance_id: str) -> None:
        """Begin to shut down, as an operating system does when asked to; nothing if it is not up."""

    def is_down(self, instance_id: str) -> bool:
        """Whether nothing of it runs any more: the disks are still."""

    def cores_in_use(self, instance_id: str) -> float | None:
        """The mean number of busy cores since this was last asked; None when it does not measure."""

    def traffic(self, instance_id: str) -> tuple[float, float] | None:
        """Bytes received and sent a second, as the mean since this was last asked; None when it does not measure."""

    def run(self, instance_id: str, script: str, timeout: timedelta) -> Execution:
        """Start a shell script on a machine that is up; it is ended after `timeout`."""

    def console(self, instance_id: str) -> str:
        """What its present start has written onto the console; nothing while it is down."""

    def close(self) -> None:
        """End everything, and return when nothing is left."""


@dataclass(frozen=True, slots=True)
class _Done:
    outcome: Outcome

    def poll(self) -> Outcome:
        return self.outcome


class VirtualMachines:
    """Machines that are only said to run.

    respond: what a Run Command gives, from the instance id and the script; text alone is a success's standard output.
    """

    def __init__(self, respond: Callable[[str, str], Outcome | str] = lambda _instance_id, _script: "") -> None:
        self.respond = respond
        self.consoles: dict[str, str] = {}
        self._cores: dict[str, float] = {}
        self._traffic: dict[str, tuple[float, float] | None] = {}

    def use_cores(self, instance_id: str, cores: float | None) -> None:
        """From the next metric on, so many cores are busy; None: the world publishes nothing by itself."""
        if cores is None:
            self._cores.pop(instance_id, None)
        else:
            self._cores[instance_id] = cores

    def use_network(self, instance_id: str, received: float | None, sent: float = 0.0) -> None:
        """From the next metric on, so many bytes a second come and go; None: the world publishes nothing by itself.

        Until this is said nothing comes and nothing goes, which is published.
        """
        self._traffic[instance_id] = None if received is None else (received, sent)

    def address(self, instance_id: str) -> str | None: ...

    def boot(self, machine: Machine) -> None: ...

    def shutdown(self, instance_id: str) -> None: ...

    def is_down(self, instance_id: str) -> bool:  # noqa: ARG002 - the port's shape; what never runs is always down
        return True

    def cores_in_use(self, instance_id: str) -> float | None:
        return self._cores.get(instance_id)

    def traffic(self, instance_id: str) -> tuple[float, float] | None:
        return self._traffic.get(instance_id, (0.0, 0.0))

    def run(self, instance_id: str, script: str, timeout: timedelta) -> Execution:  # noqa: ARG002 - the port's shape
        answer = self.respond(instance_id, script)
        return _Done(answer if isinstance(answer, Outcome) else Outcome(0, answer))

    def console(self, instance_id: str) -> str:
        return self.consoles.get(instance_id, "")

    def close(self) -> None: ...
