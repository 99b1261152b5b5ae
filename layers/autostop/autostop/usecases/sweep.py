"""On a schedule: find all workstations, judge those that run, and want what follows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from autostop.domain.idle import Verdict
from autostop.domain.intent import reconsider
from autostop.domain.settings import Policy, policy_for
from autostop.domain.workstation import Instance, InstanceState, WorkstationId
from autostop.ports import Asker, ConflictError, Happened, Instances, Ledger, Metrics, Queue, State
from autostop.usecases.look import Looked, Subject, look


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep saw and changed: verdicts and new intents in words, by workstation."""

    verdicts: Mapping[WorkstationId, str]
    intents: Mapping[WorkstationId, str]
    skipped: Mapping[WorkstationId, str]

    def as_log(self) -> dict[str, dict[str, str]]:
        """The same as plain data."""
        return {
            "verdicts": {str(key): value for key, value in self.verdicts.items()},
            "intents": {str(key): value for key, value in self.intents.items()},
            "skipped": {str(key): value for key, value in self.skipped.items()},
        }


def sweep(
    instances: Instances, metrics: Metrics, asker: Asker, ledger: Ledger, queue: Queue, defaults: Policy, now: datetime
) -> Swept:
    """Look at every workstation once. One that cannot be handled hides no other: it is in `skipped`, with the reason.

    An intent rests on the state that was read before the measuring: if the owner tapped meanwhile, the write is
    refused and the next sweep judges anew.
    """
    found = instances.tagged()
    states = ledger.load_all([instance.id for instance in found])
    subjects = [_subject(instance, states[instance.id], defaults) for instance in found if instance.id in states]
    running = [each for each in subjects if each.instance.state is InstanceState.RUNNING and _to_judge(each.state)]
    judged = {looked.instance.id: looked for looked in look(running, metrics, asker, now)} if running else {}
    verdicts: dict[WorkstationId, str] = {}
    intents: dict[WorkstationId, str] = {}
    skipped = {each.id: "its item in the table is damaged" for each in found if each.id not in states}
    for subject in subjects:
        workstation = subject.instance.id
        looked = judged.get(workstation)
        try:
            wanted = _conclude(subject, looked, ledger, queue, now)
        except ConflictError:
            skipped[workstation] = "its state was changed meanwhile"
            continue
        if looked is not None:
            verdicts[workstation] = f"{looked.verdict.kind}: {looked.verdict.headline}"
        if wanted:
            intents[workstation] = wanted
    return Swept(verdicts, intents, skipped)


def _subject(instance: Instance, state: State, defaults: Policy) -> Subject:
    policy, problems = policy_for(defaults, instance.tags)
    return Subject(instance, policy, replace(state, problems=problems))


def _to_judge(state: State) -> bool:
    """An intent that is not reached yet belongs to the reconciler; nobody judges meanwhile."""
    return state.intent is None or state.intent.settled


def _conclude(subject: Subject, looked: Looked | None, ledger: Ledger, queue: Queue, now: datetime) -> str | None:
    """Keep what was seen and want what follows; the new intent in words, or None."""
    instance, state = subject.instance, subject.state
    verdict: Verdict | None = None
    if looked is not None:
        state, verdict = replace(looked.state, verdict=looked.verdict), looked.verdict
        ledger.record_verdict(instance.id, looked.verdict)
    intent = reconsider(instance, state.intent, verdict, subject.policy, state.kept_awake_until, now)
    if intent is not None:
        ledger.save(state.wanting(intent))
        ledger.record(instance.id, Happened(now, intent.number, f"{intent.wanted} is wanted: {intent.why}"))
        queue.wake(instance.id)
        return f"{intent.wanted}: {intent.why}"
    if looked is not None or state.problems != subject.state.problems or not state.version:
        ledger.save(state)
    if state.intent is not None and not state.intent.settled:
        # Should every event and message have been lost, the sweep brings the reconciler back.
        queue.wake(instance.id)
    return None
