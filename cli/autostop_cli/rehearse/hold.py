"""Keep the controller away from a workstation that is stopped for a moment, in a way that a crash cannot break.

The lease keeps every reconciler out. The intent `run`, written before the stop and not reached until the start, keeps
every sweep from wanting anything else; and when whoever holds the lease dies, the lease expires and the reconciler
starts the workstation by that very intent.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from autostop.aws.queue import SqsQueue
from autostop.aws.table import DynamoLedger
from autostop.model import WorkstationId
from autostop.ports import Happened, State, TransientError
from autostop.sleep.intent import By, Intent, Wanted, following
from autostop_cli.rehearse.rehearsal import may_start

LEASE = timedelta(minutes=5)


@dataclass(slots=True)
class Hold:
    """The lease of one workstation. holder: unlike anybody else's. `clock` gives aware UTC moments."""

    ledger: DynamoLedger
    queue: SqsQueue
    workstation: WorkstationId
    holder: str
    clock: Callable[[], datetime]
    _until: datetime | None = field(default=None, init=False)

    def take(self) -> None:
        """Take the lease, or take it anew. Raises TransientError when somebody else has it."""
        now = self.clock()
        if not self.ledger.take_lease(self.workstation, self.holder, now, now + LEASE):
            raise TransientError("Autostop is at work on it just now.")
        self._until = now + LEASE

    def keep(self) -> None:
        """Take it anew before it ends."""
        if self._until is None or self._until - self.clock() < LEASE / 2:
            self.take()

    def intent(self) -> Intent | None:
        """What is wanted now."""
        return self.ledger.load(self.workstation).intent

    def want_run(self, why: str) -> None:
        """Write that it is to run; the lease keeps the reconciler from it until it is given back or has expired."""

        def decide(state: State) -> State:
            if state.intent is not None and not state.intent.settled:
                raise TransientError(f"Something else is wanted of it meanwhile: {state.intent.why}.")
            return state.wanting(following(state.intent, Wanted.RUN, By.OWNER, why, self.clock()))

        _, after = self.ledger.change(self.workstation, decide)
        if after.intent is not None:
            self.ledger.record(self.workstation, Happened(after.intent.at, after.intent.number, why))

    def may_start(self) -> bool:
        """False when the owner asked for a stop since."""
        return may_start(self.intent())

    def give_back(self) -> None:
        """Let the controller go on."""
        self.ledger.give_lease_back(self.workstation, self.holder)
        self.queue.wake(self.workstation)
