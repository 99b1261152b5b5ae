"""As which type it is started, and when: its own first, then the owner's list, round by round."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from autostop import tags
from autostop.model import LISTS_LAG_FOR, Instance, InstanceState, OtherType, SpotKind
from autostop.sleep.attempts import NO_ATTEMPTS, Attempts, NoCapacity
from autostop.sleep.capacity import fallback_in_words, next_start, own_type
from autostop.sleep.intent import Wanted
from autostop.sleep.next_step import next_step
from autostop.sleep.steps import Blocked, Outcome, Settled, Situation, Wait
from tests.build import NOW, instance, intent, minutes, row, seen
from tests.sleep.expect import Does, change_type, note_no_capacity, note_type, start_instance

OWN, FIRST, SECOND = "m7g.xlarge", "c7g.xlarge", "r7g.xlarge"
ARM = ("arm64",)
OTHERS = (OtherType(FIRST, ARM), OtherType(SECOND, ARM))
A_SECOND = timedelta(seconds=1)


def workstation(type_: str = OWN, note: str | None = None, **other: Any) -> Instance:
    noted = {} if note is None else {tags.INSTANCE_TYPE: note}
    return instance(type=type_, architecture="arm64", tags={tags.AUTOSTOP: tags.ON, **noted}, **other)


def lacked(at_ago: float = 0, **times: int) -> Attempts:
    """What had no capacity and how often; the last of them so many minutes ago."""
    types = {"own": OWN, "first": FIRST, "second": SECOND}
    return Attempts(tuple(NoCapacity(types[name], NOW - minutes(at_ago), count) for name, count in times.items()))


def start(what: Instance, tried: Attempts, others: tuple[OtherType, ...] = OTHERS) -> Outcome:
    observed = seen(instance=what, other_types=others)
    return next_start(Situation(observed, what, intent(Wanted.RUN), None, tried, NOW))


NOTED, AS_FIRST = f"{OWN} {FIRST}", workstation(FIRST, f"{OWN} {FIRST}")


@pytest.mark.parametrize(("what", "tried", "expected"), [
    row("nothing tried", workstation(), NO_ATTEMPTS, start_instance()),
    row("a new start: its own type again first", AS_FIRST, NO_ATTEMPTS, change_type(OWN)),
    row("its own type again, the note is left", workstation(OWN, NOTED), NO_ATTEMPTS, start_instance()),
    row("a person changed the type", workstation(SECOND, NOTED), NO_ATTEMPTS, start_instance()),
    row("no capacity: noted before it is changed", workstation(), lacked(own=1), note_type(NOTED)),
    row("noted: changed", workstation(OWN, NOTED), lacked(own=1), change_type(FIRST, f"{OWN} {FIRST}")),
    row("an older note: noted anew", workstation(OWN, f"{OWN} {SECOND}"), lacked(own=1), note_type(NOTED)),
    row("changed: started", AS_FIRST, lacked(own=1), start_instance()),
    row("to the second by way of its own", AS_FIRST, lacked(own=1, first=1), change_type(OWN)),
    row("the second is noted", workstation(OWN, NOTED), lacked(own=1, first=1), note_type(f"{OWN} {SECOND}")),
    row("the second is started", workstation(SECOND, f"{OWN} {SECOND}"), lacked(own=1, first=1), start_instance()),
    row("the next round begins with its own, after a minute", workstation(SECOND, f"{OWN} {SECOND}"),
        lacked(1, own=1, first=1, second=1), change_type(OWN)),
    row("its own in the second round", workstation(), lacked(1, own=1, first=1, second=1), start_instance()),
    row("then the others, without a wait", workstation(), lacked(own=2, first=1, second=1), note_type(NOTED)),
])  # fmt: skip
def test_the_next_step_toward_a_start(what: Instance, tried: Attempts, expected: Outcome) -> None:
    assert start(what, tried) == expected


@pytest.mark.parametrize(("rounds", "wait"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 15), (6, 15), (500, 15)], ids=str)
def test_the_wait_between_rounds_grows_up_to_a_quarter_of_an_hour(rounds: int, wait: int) -> None:
    tried = lacked(own=rounds, first=rounds, second=rounds)
    just_before = lacked(wait - 1 / 60, own=rounds, first=rounds, second=rounds)

    outcome = start(workstation(), tried)

    assert isinstance(outcome, Wait)
    assert outcome.at_most == minutes(wait)
    shortly = start(workstation(), just_before)
    assert isinstance(shortly, Wait)
    assert timedelta(0) < shortly.at_most <= A_SECOND
    assert start(workstation(), lacked(wait, own=rounds, first=rounds, second=rounds)) == start_instance()


def test_the_wait_says_which_types_in_which_zone_and_when_it_goes_on() -> None:
    outcome = start(workstation(), lacked(own=1, first=1, second=1))

    assert isinstance(outcome, Wait)
    types = "m7g.xlarge, c7g.xlarge and r7g.xlarge"
    assert outcome.why == f"EC2 has no capacity in eu-west-1a for {types}. It is tried again at 18:41:00 UTC."


def test_the_wait_is_told_by_the_owners_clock() -> None:
    observed = seen(instance=workstation(), zone=ZoneInfo("Asia/Kolkata"))
    outcome = next_start(Situation(observed, workstation(), intent(Wanted.RUN), None, lacked(own=1), NOW))

    assert isinstance(outcome, Wait)
    due = NOW + minutes(1) + timedelta(hours=5, minutes=30)
    assert f"tried again at {due:%H:%M:%S} IST" in outcome.why


def check(outcome: Outcome, expected: Outcome | Does | str) -> None:
    """expected: the outcome, or what a wait says."""
    if isinstance(expected, str):
        assert isinstance(outcome, Wait)
        assert expected in outcome.why
    else:
        assert outcome == expected


def only(name: str, *architectures: str, instance_store_gb: int = 0) -> tuple[OtherType, ...]:
    return (OtherType(name, architectures, instance_store_gb),)


LACKED, ON_SPOT = lacked(own=1), workstation(spot=SpotKind.PERSISTENT)
SCRATCH = replace(workstation(), tags={tags.INSTANCE_STORE_IS_SCRATCH: tags.YES})


@pytest.mark.parametrize(("what", "tried", "others", "expected"), [
    row("no list: it waits for its own", workstation(), LACKED, (), "for m7g.xlarge. It is tried again"),
    row("unknown", workstation(), LACKED, only("c7g.large"), "c7g.large is not tried: EC2 does not know it"),
    row("x86", workstation(), LACKED, only("c6i.large", "x86_64"), "it is for x86_64, and the workstation is arm64"),
    row("disks", workstation(), LACKED, only("c7gd.large", "arm64", instance_store_gb=118), "a stop empties them"),
    row("disks that hold nothing", SCRATCH, LACKED, only("c7gd.large", "arm64", instance_store_gb=118),
        note_type(f"{OWN} c7gd.large")),
    row("Spot", ON_SPOT, LACKED, only(FIRST, "arm64"), "Spot instance cannot be changed"),
    row("after one that does not fit comes the next", workstation(), LACKED, (*only("c7g.large"), OTHERS[1]),
        note_type(f"{OWN} {SECOND}")),
    row("one that EC2 refuses is left out", workstation(), LACKED.refusing(FIRST, "no ENA"), OTHERS,
        note_type(f"{OWN} {SECOND}")),
    row("and told", workstation(), lacked(own=1, second=1).refusing(FIRST, "no ENA"), OTHERS,
        "c7g.xlarge is not tried: no ENA."),
])  # fmt: skip
def test_a_type_that_does_not_fit_is_never_tried_and_the_reason_is_told(
    what: Instance, tried: Attempts, others: tuple[OtherType, ...], expected: Outcome | str
) -> None:
    check(start(what, tried, others), expected)


def test_what_is_refused_as_every_type_is_blocked() -> None:
    outcome = start(workstation(), Attempts().refusing(OWN, "no"), others=())

    assert isinstance(outcome, Blocked)
    assert "m7g.xlarge is not tried: no." in outcome.reason


@pytest.mark.parametrize(("what", "own", "words"), [
    row("never", workstation(), OWN, None),
    row("fall-back", AS_FIRST, OWN,
        "It runs as c7g.xlarge: m7g.xlarge had no capacity. The next start tries m7g.xlarge first."),
    row("changed by a person", workstation(SECOND, NOTED), SECOND, None),
    row("its own again", workstation(OWN, NOTED), OWN, None),
    row("empty", workstation(OWN, ""), OWN, None),
    row("one word", workstation(FIRST, FIRST), FIRST, None),
    row("no own type", workstation(FIRST, f" {FIRST}"), FIRST, None),
    row("nonsense", workstation(FIRST, f"{OWN} {FIRST} more"), FIRST, None),
])  # fmt: skip
def test_its_own_type_is_told_by_the_note_as_long_as_it_holds(what: Instance, own: str, words: str | None) -> None:
    assert own_type(what) == own
    assert fallback_in_words(what) == words


BEFORE = instance().launched_at
FELL = instance(architecture="arm64", launched_at=NOW, state_reason="Client.InternalError: Client error on launch")
ASKED = NO_ATTEMPTS.starting(BEFORE, NOW)


@pytest.mark.parametrize(("what", "tried", "expected"), [
    row("accepted, not to be seen yet", instance(), ASKED, "EC2 does not show the start yet"),
    row("just before the lists must be right", instance(), NO_ATTEMPTS.starting(BEFORE, NOW - LISTS_LAG_FOR + A_SECOND),
        "EC2 does not show the start yet"),
    row("never begun: again", instance(), NO_ATTEMPTS.starting(BEFORE, NOW - LISTS_LAG_FOR), start_instance()),
    row("begun and fallen back: told", FELL, ASKED, "Client error on launch"),
    row("fallen back: again in a minute", FELL, NO_ATTEMPTS.starting(BEFORE, NOW - minutes(1)), start_instance()),
    row("fallen back twice: in two minutes", FELL,
        NO_ATTEMPTS.starting(BEFORE, LAST := NOW - minutes(9)).starting(LAST, NOW - minutes(1)), "tried again"),
    row("fallen back for want of capacity", replace(FELL, state_reason="Server.InsufficientInstanceCapacity: no room"),
        ASKED, note_no_capacity(OWN)),
])  # fmt: skip
def test_a_start_that_ec2_accepted(what: Instance, tried: Attempts, expected: Outcome | str) -> None:
    check(start(what, tried), expected)


def test_three_starts_that_fell_back_are_blocked_with_the_reason() -> None:
    tried = NO_ATTEMPTS
    for _ in range(3):
        tried = tried.starting(BEFORE, NOW - minutes(60))

    outcome = start(FELL, tried)

    assert isinstance(outcome, Blocked)
    assert "Client error on launch" in outcome.reason
    assert "KMS key" in outcome.reason


def test_types_that_were_not_tried_are_told_when_it_runs() -> None:
    running = replace(AS_FIRST, state=InstanceState.RUNNING)
    tried = lacked(own=1).refusing(SECOND, "no ENA")

    outcome = next_step(seen(instance=running), intent(Wanted.RUN), None, NOW, tried)

    assert outcome == Settled("r7g.xlarge is not tried: no ENA.")
