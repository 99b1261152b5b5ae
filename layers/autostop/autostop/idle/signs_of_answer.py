"""What an answer of the workstation itself says, sign by sign, each taken by itself. Pure."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from autostop.clock import clock_time
from autostop.idle.between_answers import follow
from autostop.idle.history import History
from autostop.idle.measured import Activity, Effect, Sign
from autostop.idle.reading import GPU_UNREAD, Machine, Reading, Unknown
from autostop.idle.reconnects import is_polled, only_reconnected
from autostop.settings import Policy, words

# An answer of Run Command is read at the next sweep; an answer older than this is no answer about now.
ANSWER_VALID_FOR: Final = timedelta(minutes=12)
# A question whose answer has not come after this long is given up, and asked again.
ANSWER_COMES_WITHIN: Final = timedelta(minutes=3)


def answered(answer: Reading | Unknown, activity: Activity, policy: Policy, now: datetime) -> Iterator[Sign]:
    """The signs of one answer; one that is none, or is too old, is unknown."""
    clock = partial(clock_time, zone=policy.time_zone, now=now)
    if isinstance(answer, Unknown):
        yield _unknown(f"asked: {answer.reason}", "no answer", now)
    elif answer.at < activity.launched_at or now - answer.at > ANSWER_VALID_FOR:
        yield _unknown(f"asked: the last answer is from {clock(answer.at)}", "too old", now)
    else:
        history = activity.history or follow(None, answer, policy)
        yield from _Answer(answer, history, activity.launched_at, policy, clock).signs()


def _unknown(reason: str, value: str, seen_until: datetime) -> Sign:
    return Sign("answer", Effect.UNKNOWN, value, "", None, reason, seen_until)


@dataclass(frozen=True, slots=True)
class _Answer:
    """An answer that holds now, with the history up to it; None for that when nothing of the machine is known."""

    reading: Reading
    history: History | None
    launched_at: datetime
    policy: Policy
    clock: Callable[[datetime], str]

    def signs(self) -> Iterator[Sign]:
        for what in self.reading.missing:
            # Whoever does not want GPUs to count need not mend one that cannot be read.
            if what != GPU_UNREAD or self.policy.gpu_percent is not None:
                yield _unknown(f"asked: {what}", "in part", self.reading.at)
        machine, servers = self.reading.machine, self.reading.servers
        yield self._kernels()
        # Typing without running anything moves nothing else.
        if machine is not None:
            yield self._last("keyboard", "a key was last pressed in a terminal", machine.typed_at)
            yield self._last("output", "a program last wrote to the terminal it has to itself", machine.wrote_at)
        saved = [*(server.saved_at for server in servers), machine.edited_at if machine is not None else None]
        yield self._last("files", "a notebook or file was last saved", _newest(saved))
        if machine is not None and self.history is not None:
            yield from self._machine_at_work(machine, self.history)
        else:
            # Over the network nothing else tells of work in a terminal than that something was shown there.
            yield self._last("terminals", "something was last shown in one", self._shown_at)
        if machine is not None and self.policy.doubt_for:
            yield from self._doubts(machine)
        yield from self._weak(machine)

    def _kernels(self) -> Sign:
        """Busy kernels are work; otherwise the newest use ends the quiet before it."""
        servers, history = self.reading.servers, self.history
        busy = sum(server.busy for server in servers)
        count = sum(server.busy + server.idle + server.starting + server.other for server in servers)
        value = f"{busy} of {count} busy" if count else "none"
        # A silent cell moves no moment, so a busy kernel counts by itself. A kernel that is `starting` for ever (nobody
        # ever connected, or it crashed) is not work.
        if busy and not self._forgotten(_newest(server.busy_active_at for server in servers)):
            reason = f"Jupyter: {busy} busy kernel{'s' if busy > 1 else ''}"
            return self._sign("kernels", Effect.WORK, reason, value, "none busy")
        used = [server.kernel_active_at for server in servers]
        if history is not None and (only_reconnected(history) or self._forgotten(history.steady_since)):
            used = []
        last = _newest([*used, history.busy_at if history is not None and not busy else None])
        if last is None:
            return self._sign("kernels", Effect.QUIET, "Jupyter: no kernel was used", value, "none busy")
        at = max(last, self.launched_at)
        return self._sign("kernels", Effect.QUIET, f"Jupyter: last used at {self.clock(at)}", value, "none busy", at)

    def _forgotten(self, since: datetime | None) -> bool:
        """True for what the owner wants ignored after so long: it has said nothing since, and nothing computes."""
        limit, at = self.policy.ignore_kernels_older_than, self.reading.at
        if limit is None or since is None or at - since <= limit:
            return False
        computed = (self.history.cpu_at, self.history.gpu_at) if self.history is not None else ()
        return all(at - moment > limit for moment in computed if moment is not None)

    def _machine_at_work(self, machine: Machine, history: History) -> Iterator[Sign]:
        """What computes, runs or is held on the machine, by the history of its answers."""
        rate = history.cpu_rate
        value = "not known yet" if rate is None else f"{rate:.2f} CPU s/min"
        what, limit = "work under Jupyter, logins and tmux", f"{self.policy.cpu_seconds:g} CPU s/min"
        yield self._momentless("work", f"{what}: {value}", value, limit, history.cpu_at)
        job = f"{machine.jobs} ({machine.job})" if machine.job else str(machine.jobs)
        forgotten = machine.jobs and self._forgotten(history.job_since)
        job_at = None if forgotten else history.job_at
        yield self._momentless("jobs", f"jobs in terminals: {job}", job, "none", job_at)
        if machine.gpu_percent is not None and self.policy.gpu_percent is not None:
            value, limit = f"{machine.gpu_percent:.0f} %", f"{self.policy.gpu_percent:g} %"
            yield self._momentless("GPU", f"GPU: {value} in use", value, limit, history.gpu_at)
        held = "held" if machine.held else "free"
        reason = "a program holds the keep-awake lock" if machine.held else "the keep-awake lock is free"
        yield self._momentless("lock", reason, held, "free", history.held_at)

    def _doubts(self, machine: Machine) -> Iterator[Sign]:
        """What of a person's may be waiting for the world: those of one kind together."""
        limit = f"for {words(self.policy.doubt_for)}"
        for waits in dict.fromkeys(doubt.waits for doubt in machine.doubts):
            names = [doubt.name for doubt in machine.doubts if doubt.waits is waits]
            named = f" ({', '.join(dict.fromkeys(filter(None, names)))})" if any(names) else ""
            yield self._sign(waits.value, Effect.DOUBT, f"{waits.words}{named}", f"{len(names)}{named}", limit)

    def _weak(self, machine: Machine | None) -> Iterator[Sign]:
        """What is there with nobody present too."""
        answer, shown, window = self.reading, self._shown_at, self.policy.idle_after or timedelta(0)
        tabs = sum(server.connections > 0 or is_polled(server, answer) for server in answer.servers)
        there = [("tabs", "a Jupyter tab is open or connected", tabs)]
        if machine is not None:
            there += [
                ("terminals", "a program writes to a terminal", int(shown is not None and answer.at - shown < window)),
                ("logins", "somebody is connected by SSH", machine.logins),
                ("editors", "the server of an editor runs", machine.editors),
                ("tmux", "tmux or screen runs", machine.multiplexers),
            ]
        limit = f"at most {words(self.policy.weak_signals)} more"
        return (
            self._sign(name, Effect.WEAK, f"{name}: {what}", str(count), limit) for name, what, count in there if count
        )

    @property
    def _shown_at(self) -> datetime | None:
        return _newest(server.terminal_active_at for server in self.reading.servers)

    def _last(self, name: str, what: str, at: datetime | None) -> Sign:
        """A sign that tells when it was last used."""
        if at is None or at <= self.launched_at:
            return self._sign(name, Effect.QUIET, f"{name}: nothing since the start", "nothing", "")
        return self._sign(name, Effect.QUIET, f"{name}: {what} at {self.clock(at)}", f"at {self.clock(at)}", "", at)

    def _momentless(self, name: str, reason: str, value: str, limit: str, last: datetime | None) -> Sign:
        """A sign that leaves no moment behind: at work if the newest answer showed it, else quiet since it last did."""
        if last is None:
            return self._sign(name, Effect.QUIET, reason, value, limit)
        if last >= self.reading.at:
            return self._sign(name, Effect.WORK, reason, value, limit)
        at = max(last, self.launched_at)
        return self._sign(name, Effect.QUIET, f"{name}: last at {self.clock(at)}", value, limit, at)

    def _sign(self, name: str, effect: Effect, reason: str, value: str, limit: str, at: datetime | None = None) -> Sign:
        return Sign(name, effect, value, limit, at, reason, self.reading.at)


def _newest(moments: Iterable[datetime | None]) -> datetime | None:
    return max((at for at in moments if at is not None), default=None)
