"""What of the processor, and of the GPU, is people's programs at work, and not what only polls. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from autostop.idle.reading import Machine
from autostop.settings import Policy

# What serves others on the network polls them too: an idle worker of a dask cluster uses 2 seconds a minute. By how a
# name begins: of a process (p), and as the probe before told it, of a session (s).
_SERVERS_POLL: Final = {"p": 5, "s": 10}
# Who holds a GPU, and who serves others beside: a model that is served polls as long as nobody asks it.
_GPU, _GPU_SERVED = "g", "pg"
# An open page costs it much the same all the time. A click on it takes a fraction of a second, at once.
_PAGES_VARY: Final = 1.5
_CLICKS: Final = 4
# In less time it may have polled nothing.
_POLLS_SHOW: Final = timedelta(seconds=45)
# Two answers may lie seconds apart; of so short a time the noise would be divided by nearly nothing.
_SHORTEST: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True)
class ProcessorUse:
    """rate: processor seconds a minute of what used most; of what serves others a fifth, or what a click adds.

    something_ended: its seconds went with it. quietest: of each that serves others the lowest rate so far.
    """

    rate: float
    something_ended: bool
    quietest: Mapping[str, float]

    def is_work(self, policy: Policy) -> bool:
        """True when that takes a person's program at work."""
        return self.something_ended or self.rate > policy.cpu_seconds


def gpu_computes(machine: Machine, policy: Policy) -> bool:
    """True when the GPU is in use for more than its owner lets pass; False where none is read, or none counts."""
    used, limit = machine.gpu_percent, policy.gpu_percent
    return used is not None and limit is not None and used > limit


def used_since(
    before: Mapping[str, float], quietest: Mapping[str, float], machine: Machine, elapsed: timedelta
) -> ProcessorUse:
    """What was used since the answer before. before: its processor seconds by name, as `Machine.cpu` has them now."""
    minutes = max(elapsed, _SHORTEST) / timedelta(minutes=1)
    # Of those that hold a GPU nobody knows who they were before; a program that is new began since then.
    holders = {_GPU, _GPU_SERVED}
    known = {name: seconds for name, seconds in machine.cpu.items() if name not in holders or name in before}
    rates = {name: (seconds - before.get(name, 0.0)) / minutes for name, seconds in known.items()}
    serving = {name: each for name, each in rates.items() if name[0] in _SERVERS_POLL}
    for name, each in serving.items():
        asked = machine.visits or name == _GPU_SERVED
        clicks = each - _PAGES_VARY * quietest.get(name, each) if asked else 0.0
        polls = 0.0 if name == _GPU_SERVED else each / _SERVERS_POLL[name[0]]
        rates[name] = max(polls, clicks * _CLICKS) if each > 0 else each
    # When a kernel goes away its seconds go too: a change, and not idleness. But servers replace their workers.
    gone = {name for name in before.keys() - machine.cpu.keys() - holders if name[0] not in _SERVERS_POLL}
    ended = bool(gone) or any(each < 0 for name, each in rates.items() if name not in serving)
    if elapsed >= _POLLS_SHOW:
        quietest = {name: min(each, quietest.get(name, each)) for name, each in serving.items() if each >= 0}
    return ProcessorUse(max(rates.values(), default=0.0), ended, quietest)
