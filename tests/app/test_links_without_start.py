"""A link without `start` has nothing started, whatever is wanted of the workstation and whatever it does."""

import itertools
from dataclasses import replace

import pytest

from autostop.app.owner import RefusedError
from autostop.http_api import _VERBS, HttpApi
from autostop.link import Scope
from autostop.model import InstanceState
from autostop.sleep.intent import By, Intent, Wanted
from tests.app.autostop_at_work import SECRET, START, AtWork
from tests.handlers.functions import request

SCOPES = [scopes for count in range(len(Scope) + 1) for scopes in itertools.combinations(Scope, count)]
INTENTS = (
    None,
    *(Intent(3, wanted, by, START, "so", at) for wanted, by, at in itertools.product(Wanted, By, (None, START))),
)


@pytest.mark.parametrize("scopes", SCOPES, ids="+".join)
def test_no_scope_lets_more_be_pressed_than_it_says(lab: AtWork, scopes: tuple[Scope, ...]) -> None:
    workstation, api = lab.workstation(disks={}), HttpApi(lab.owner, {})
    lab.link(workstation, scopes=scopes)
    for verb, (scope, _) in _VERBS.items():
        before = lab.state(workstation)
        answer = api.answer(request("POST", f"/api/workstations/{workstation}/{verb}", SECRET))
        assert (answer["statusCode"] == 403) == (scope not in scopes)
        assert lab.state(workstation) == before or scope in scopes


def test_without_start_only_what_runs_turns_back_and_only_by_a_promise(lab: AtWork) -> None:
    workstation = lab.workstation(disks={})
    link = lab.link(workstation, scopes=tuple(scope for scope in Scope if scope is not Scope.START))
    started = set()
    for state, intent, blocked in itertools.product(InstanceState, INTENTS, (None, "so")):
        lab.world.cloud.instances[workstation].state = state
        for verb in [verb for verb, (scope, _) in _VERBS.items() if scope in link.scopes]:
            before = replace(lab.state(workstation), intent=intent, blocked=blocked, kept_awake_until=None)
            lab.ledger.save(before)
            try:
                _VERBS[verb][1](lab.owner, link, "the test", "")
            except RefusedError:
                assert verb == "keep-awake"
            after = lab.state(workstation).intent
            if after is not None and after != intent and after.wanted is Wanted.RUN:
                started.add((verb, state))
    assert started == {("keep-awake", InstanceState.PENDING), ("keep-awake", InstanceState.RUNNING)}
