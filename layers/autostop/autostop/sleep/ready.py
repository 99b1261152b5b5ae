"""When a running instance counts as awake: it was seen to work, or was given long enough."""

from datetime import timedelta

from autostop.model import Checks, Jupyter
from autostop.settings import words
from autostop.sleep.capacity import unusable_types
from autostop.sleep.outcomes import A_MINUTE, SECONDS, Settled, Situation, Wait

# How long checks and Jupyter may take after a launch before the start counts as done without them.
READY_WITHIN = timedelta(minutes=10)


def is_ready(it: Situation) -> bool:
    """A running instance was seen to work: EC2's status checks pass, and Jupyter answers, or none runs there."""
    waited = it.now - it.instance.launched_at >= READY_WITHIN
    answers = it.seen.jupyter in (Jupyter.NOT_ASKED, Jupyter.SERVES)
    return it.seen.checks is Checks.OK and (answers or (waited and it.seen.jupyter is Jupyter.NO_SERVER))


def gets_ready(it: Situation) -> Wait | Settled | None:
    """Wait until a running instance works, for some minutes: it is up all the same, and is judged like any other."""
    if is_ready(it):
        return None
    checks = it.seen.checks
    if it.now - it.instance.launched_at >= READY_WITHIN:
        failing = "EC2's status checks fail" if checks is Checks.IMPAIRED else "EC2's status checks have not passed"
        what = "nothing was heard of Jupyter" if checks is Checks.OK else failing
        kept = f"It runs, but {what} for {words(READY_WITHIN)}. Older snapshots are kept."
        return Settled(f"{kept} {unusable_types(it)}".strip())
    if checks is Checks.IMPAIRED:
        return Wait("the instance runs, but EC2's status checks fail", A_MINUTE)
    if checks is Checks.OK:
        return Wait("the instance runs; Jupyter does not answer yet", SECONDS)
    serves = it.seen.jupyter is Jupyter.SERVES
    # Jupyter may answer minutes before, and the page shows it then.
    return Wait("Jupyter answers; EC2's status checks are running" if serves else "the instance is booting", SECONDS)
