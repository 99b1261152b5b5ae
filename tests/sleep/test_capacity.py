"""As which type it is started, and when: its own first, then the owner's list, round by round."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from autostop import tags
from autostop.model import LISTS_LAG_FOR, Instance, InstanceState, OtherType, SpotKind
from autostop.sleep.calls import Call
from autostop.sleep.capacity import next_start, note_of_own_type
from autostop.sleep.intent import Wanted
from autostop.sleep.outcomes import Blocked, Note, Outcome, Situation, Wait
from autostop.sleep.own_type import Fallback, fallback_in_words, own_type
from autostop.sleep.start_attempts import NO_ATTEMPTS, Attempts, NoCapacity
from tests.build import NOW, instance, intent, minutes, row, seen
from tests.sleep.expect import Does, change_type, makes, note_no_capacity, note_type, start_instance

OWN, FIRST, SECOND = "m7g.xlarge", "c7g.xlarge", "r7g.xlarge"
ARM = ("arm64",)
OTHERS = (OtherType(FIRST, ARM), OtherType(SECOND, ARM))
A_SECOND = timedelta(seconds=1)


def workstation(type_: str = OWN, note: str | None = None, **other: Any) -> Instance:
    """note: on its tag, which whoever may tag it can write."""
    noted = {} if note is None else {tags.INSTANCE_TYPE: note}
    return instance(type=type_, architecture="arm64", tags={tags.AUTOSTOP: tags.ON, **noted}, **other)


def lacked(at_ago: float = 0, **times: int) -> Attempts:
    """What had no capacity and how often; the last of them so many minutes ago."""
    types = {"own": OWN, "first": FIRST, "second": SECOND}
    return Attempts(tuple(NoCapacity(types[name], NOW - minutes(at_ago), count) for name, count in times.items()))


def start(
    what: Instance, tried: Attempts, others: tuple[OtherType, ...] = OTHERS, known: Fallback | None = None
) -> Outcome:
    observed = seen(instance=what, other_types=others)
    return next_start(Situation(observed, what, intent(Wanted.RUN), None, tried, NOW, known))


AS_FIRST, AS_SECOND = Fallback(OWN, FIRST), Fallback(OWN, SECOND)


@pytest.mark.parametrize(("type_", "known", "tried", "expected"), [
    row("nothing tried", OWN, None, NO_ATTEMPTS, start_instance()),
    row("a new start: its own type again first", FIRST, AS_FIRST, NO_ATTEMPTS, change_type(OWN)),
    row("its own type again, what was known is left", OWN, AS_FIRST, NO_ATTEMPTS, start_instance()),
    row("a person changed the type", SECOND, AS_FIRST, NO_ATTEMPTS, start_instance()),
    row("no capacity: noted before it is changed", OWN, None, lacked(own=1), note_type(AS_FIRST.hint)),
    row("noted: changed", OWN, AS_FIRST, lacked(own=1), change_type(FIRST)),
    row("another was noted: noted anew", OWN, AS_SECOND, lacked(own=1), note_type(AS_FIRST.hint)),
    row("changed: started", FIRST, AS_FIRST, lacked(own=1), start_instance()),
    row("to the second by way of its own", FIRST, AS_FIRST, lacked(own=1, first=1), change_type(OWN)),
    row("its own: the second is noted", OWN, AS_FIRST, lacked(own=1, first=1), note_type(AS_SECOND.hint)),
    row("the second is started", SECOND, AS_SECOND, lacked(own=1, first=1), start_instance()),
    row("the next round begins with its own, after a minute", SECOND, AS_SECOND,
        lacked(1, own=1, first=1, second=1), change_type(OWN)),
    row("its own in the second round", OWN, None, lacked(1, own=1, first=1, second=1), start_instance()),
    row("then the others, without a wait", OWN, AS_FIRST, lacked(own=2, first=1, second=1), change_type(FIRST)),
])  # fmt: skip
def test_the_next_step_toward_a_start(type_: str, known: Fallback | None, tried: Attempts, expected: Outcome) -> None:
    assert start(workstation(type_), tried, known=known) == expected


def test_its_own_type_is_known_before_it_is_changed_and_kept_while_it_is_changed_back() -> None:
    to_first, back = start(workstation(), lacked(own=1)), start(workstation(FIRST), NO_ATTEMPTS, known=AS_FIRST)

    noted = makes(to_first, Call.NOTE_TYPE)
    assert noted.first == Note(fallback=AS_FIRST)
    assert noted.refused is not None
    assert noted.refused("no leave to tag") == Note(said="no leave to tag")
    assert makes(back, Call.CHANGE_TYPE).first is None


@pytest.mark.parametrize("note", [
    row("as the product writes it", f"p5.48xlarge {OWN}"),
    row("a type alone", "p5.48xlarge"),
    row("more than two", f"p5.48xlarge {OWN} {OWN}"),
    row("nothing", ""),
])  # fmt: skip
@pytest.mark.parametrize("tried", [NO_ATTEMPTS, lacked(own=1)], ids=["a start", "no capacity"])
def test_who_may_only_tag_it_does_not_choose_its_type(note: str, tried: Attempts) -> None:
    assert start(workstation(note=note), tried) == start(workstation(), tried)
    known = start(workstation(FIRST, note=f"p5.48xlarge {FIRST}"), NO_ATTEMPTS, known=AS_FIRST)
    assert known == change_type(OWN)


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
        note_type(Fallback(OWN, "c7gd.large").hint)),
    row("Spot", ON_SPOT, LACKED, only(FIRST, "arm64"), "Spot instance cannot be changed"),
    row("after one that does not fit comes the next", workstation(), LACKED, (*only("c7g.large"), OTHERS[1]),
        note_type(AS_SECOND.hint)),
    row("one that EC2 refuses is left out", workstation(), LACKED.refusing(FIRST, "no ENA"), OTHERS,
        note_type(AS_SECOND.hint)),
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


@pytest.mark.parametrize(("type_", "known", "own", "words"), [
    row("never", OWN, None, OWN, None),
    row("fall-back", FIRST, AS_FIRST, OWN,
        "It runs as c7g.xlarge: m7g.xlarge had no capacity. The next start tries m7g.xlarge first."),
    row("changed by a person", SECOND, AS_FIRST, SECOND, None),
    row("its own again", OWN, AS_FIRST, OWN, None),
])  # fmt: skip
def test_its_own_type_is_known_as_long_as_it_is_what_it_became(
    type_: str, known: Fallback | None, own: str, words: str | None
) -> None:
    assert own_type(workstation(type_), known) == own
    assert fallback_in_words(workstation(type_), known) == words


@pytest.mark.parametrize(("type_", "note", "known", "expected"), [
    row("never", OWN, None, None, None),
    row("not noted yet", FIRST, None, AS_FIRST, note_type(f"{OWN} {FIRST}")),
    row("noted", FIRST, f"{OWN} {FIRST}", AS_FIRST, None),
    row("noted by somebody else", FIRST, f"p5.48xlarge {FIRST}", AS_FIRST, note_type(f"{OWN} {FIRST}")),
    row("its own again", OWN, f"{OWN} {FIRST}", None, note_type("")),
    row("changed by a person", SECOND, f"{OWN} {FIRST}", AS_FIRST, note_type("")),
    row("taken back", OWN, "", None, None),
    row("the table knows nothing: it is left for a recovery", FIRST, f"{OWN} {FIRST}", None, None),
    row("nonsense", FIRST, f"{OWN} {FIRST} more", None, note_type("")),
])  # fmt: skip
def test_the_hint_on_the_instance(
    type_: str, note: str | None, known: Fallback | None, expected: Outcome | None
) -> None:
    what = workstation(type_, note, state=InstanceState.RUNNING)
    assert (
        note_of_own_type(Situation(seen(instance=what), what, intent(Wanted.RUN), None, NO_ATTEMPTS, NOW, known))
        == expected
    )


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
