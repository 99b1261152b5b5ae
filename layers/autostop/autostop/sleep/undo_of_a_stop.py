"""Until when its owner may turn a stop back. Pure."""

from datetime import datetime, timedelta
from typing import Final

from autostop.model import Instance, InstanceState
from autostop.sleep.intent import By, Intent, Wanted

# A stop that its owner asks for begins only then: a slip of the finger is turned back before EC2 hears of it.
UNDO_FOR: Final = timedelta(seconds=10)


def undo_until(intent: Intent, instance: Instance | None, now: datetime) -> datetime | None:
    """The moment when EC2 is asked to stop it; None when that is over, or its owner asked for none."""
    asked = intent.by is By.OWNER and intent.wanted is not Wanted.RUN and not intent.settled
    runs = instance is not None and instance.state is InstanceState.RUNNING
    until = intent.at + UNDO_FOR
    return until if asked and runs and now < until else None
