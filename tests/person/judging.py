"""The whole chain on what a workstation answers: read the line, follow the history, give the verdict.

Only CloudWatch is made up: its processor is quiet all the time, so that whatever is seen at work is seen by asking.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from autostop.idle.between_answers import follow
from autostop.idle.history import History
from autostop.idle.measured import Activity, Sample
from autostop.idle.reading import Machine, Reading, Unknown, parse_reading
from autostop.idle.verdict import Verdict, VerdictKind, assess
from autostop.settings import Policy
from tests.person.workstation import Workstation

IDLE_AFTER: Final = timedelta(seconds=20)
WEAK: Final = timedelta(seconds=15)
LOOK_EVERY: Final = timedelta(seconds=4)
# So many looks after a window is over: what ended between two looks is seen late, and on a busy machine they lie apart.
_LATE_LOOKS: Final = 2
_LOOKS_AFTER: Final = _LATE_LOOKS + 2
_TRIES: Final = 5
POLICY: Final = replace(
    Policy(), idle_after=IDLE_AFTER, weak_signals=WEAK, grace=timedelta(0), cpu_period=timedelta(seconds=5)
)
ACTIVE: Final = VerdictKind.ACTIVE
IDLE: Final = VerdictKind.IDLE
UNKNOWN: Final = VerdictKind.UNKNOWN


@dataclass
class Judge:
    """Looks at one workstation under one policy, and remembers each verdict and what it was made of."""

    ask: Callable[[], Reading | Unknown]
    policy: Policy = POLICY
    launched_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    verdicts: list[Verdict] = field(default_factory=list)
    answers: list[Reading | Unknown] = field(default_factory=list)
    history: History | None = None

    def look(self) -> Verdict:
        answer = self._patiently()
        if isinstance(answer, Reading):
            self.history = follow(self.history, answer, self.policy)
        now = datetime.now(UTC)
        periods = (now - self.launched_at) // self.policy.cpu_period
        quiet = [Sample(now - self.policy.cpu_period * back, 0.01) for back in range(periods, 0, -1)]
        verdict = assess(Activity(self.launched_at, quiet, answer, history=self.history), self.policy, now)
        self.verdicts.append(verdict)
        self.answers.append(answer)
        return verdict

    def _patiently(self) -> Reading | Unknown:
        """An answer. What did not come in time may only tell that this machine is busy: it is asked for again."""
        for _ in range(_TRIES - 1):
            if "in time" not in str(answer := self.ask()):
                return answer
        return self.ask()

    def reading(self, which: int = -1) -> Reading:
        """The newest answer, or another of them; it was understood."""
        answer = self.answers[which]
        assert isinstance(answer, Reading), answer
        return answer

    def machine(self, which: int = -1) -> Machine:
        """What that answer told of the machine itself."""
        machine = self.reading(which).machine
        assert machine is not None
        return machine

    def kinds(self, since: datetime, until: datetime | None = None) -> set[VerdictKind]:
        """The verdicts from that moment on, or up to another; there must be some."""
        kinds = {verdict.kind for verdict in self.verdicts if since <= verdict.at < (until or datetime.now(UTC))}
        assert kinds, self.told()
        return kinds

    def in_the_end(
        self, quiet_from: datetime, weak: timedelta = timedelta(0), until: datetime | None = None
    ) -> set[VerdictKind]:
        """The verdicts once it must be idle, up to a moment; there are some. quiet_from: since when nothing works."""
        due = quiet_from + IDLE_AFTER + weak
        over = [each for each in self.verdicts if due <= each.at < (until or datetime.now(UTC))]
        assert len(over) > _LATE_LOOKS, self.told()
        return {each.kind for each in over[_LATE_LOOKS:]}

    def told(self) -> str:
        """Everything that was seen, for the one who reads why a test failed."""
        return "\n".join(f"{verdict.at:%H:%M:%S} {verdict.kind} {verdict.reasons}" for verdict in self.verdicts)


def by_probe(workstation: Workstation, policy: Policy = POLICY) -> Judge:
    """Asked as Run Command asks, of everything that runs there."""

    def ask() -> Reading | Unknown:
        asked_at = datetime.now(UTC)
        return parse_reading(workstation.probe(), asked_at)

    return Judge(ask, policy)


def watch(
    judges: Sequence[Judge],
    window: timedelta,
    looks: int = _LOOKS_AFTER,
    meanwhile: Callable[[], None] = lambda: None,
) -> None:
    """Let all look again and again until a window is over, and so often after it.

    meanwhile: what somebody does before each look.
    """
    until = time.monotonic() + window.total_seconds()
    with ThreadPoolExecutor(len(judges)) as pool:
        while looks > 0:
            looks -= time.monotonic() >= until
            next_look = time.monotonic() + LOOK_EVERY.total_seconds()
            meanwhile()
            list(pool.map(Judge.look, judges))
            time.sleep(max(0.0, next_look - time.monotonic()))
