"""A part of `make denied`: what once kept a machine up, unjudged and untold, for as long as it held."""

import pytest

from tests.simulation.lasting import CONDITIONS, FOR_GOOD, Night, denials, endure, rows


@pytest.mark.parametrize("name", [
    "DeleteSnapshot OperationNotPermitted",
    "images of the nights",
    "a forbidden key",
    "snapshots end in error",
    "insufficient data",
    "a Marketplace code",
    "ec2:CreateSnapshots denied",
    "ec2:StartInstances denied",
    "ssm:SendCommand denied",
])  # fmt: skip
def test_all_is_safe_judged_and_told_while_it_is_refused_for_good(name: str) -> None:
    night = endure(name, FOR_GOOD[name])
    assert night.wrong == []
    assert night.notices


def test_every_call_of_a_night_is_denied_in_turn() -> None:
    found = denials()
    seeds = {name for name in FOR_GOOD if name not in CONDITIONS}
    assert seeds <= set(found)
    assert {"dynamodb:PutItem denied", "sqs:SendMessage denied", "ec2:DescribeInstances denied"} <= set(found) - seeds


def test_a_row_tells_what_is_missing() -> None:
    calm = Night("calm", stopped=2, woken=2)
    bad = Night("bad", stopped=1, woken=2, wrong=["unjudged: since 8:00", "awake: 1 of 2", "untold: nobody"])
    _, first, second = rows([calm, bad])
    assert first.split() == ["calm", "yes", "2/2", "2/2", "yes", "-", "0"]
    assert second.split() == ["bad", "yes", "1/2!", "2/2", "NO", "NO", "0"]
