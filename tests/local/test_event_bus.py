"""The events of EC2 and EBS go where the template's own rules say."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from autostop_local.event_bus import UnsupportedPatternError, is_for_aws, matches, refuse_what_is_not_imitated
from tests.handlers.template import Template, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def template() -> Template:
    return load()


def sample(name: str) -> dict[str, Any]:
    """The EventBridge event inside one of the reconciler's samples."""
    batch = json.loads((ROOT / "events" / f"reconcile-{name}.json").read_text(encoding="utf-8"))
    event: dict[str, Any] = json.loads(batch["Records"][0]["body"])
    return event


def rules_that_match(template: Template, event: dict[str, Any]) -> list[str]:
    rules = template.of_type("AWS::Events::Rule")
    return [name for name, rule in rules.items() if matches(rule["Properties"]["EventPattern"], event)]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("instance-state", "InstanceRule"),
        ("snapshot", "SnapshotRule"),
        ("snapshots-set", "SnapshotRule"),
        ("volume", "VolumeRule"),
    ],
)
def test_each_sample_event_is_caught_by_one_rule(template: Template, name: str, rule: str) -> None:
    assert rules_that_match(template, sample(name)) == [rule]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"detail": {"instance-id": "i-0123456789abcdef0", "state": "pending"}}, id="a state on the way"),
        pytest.param({"source": "my.own"}, id="another source"),
        pytest.param({"detail-type": "EC2 Spot Instance Interruption Warning"}, id="another kind"),
        pytest.param({"detail": {}}, id="no state at all"),
    ],
)
def test_other_events_are_caught_by_none(template: Template, change: dict[str, Any]) -> None:
    assert rules_that_match(template, sample("instance-state") | change) == []


@pytest.mark.parametrize(
    ("pattern", "event", "expected"),
    [
        pytest.param({"a": ["x"]}, {"a": "x", "b": "y"}, True, id="fields that are not named do not matter"),
        pytest.param({"a": ["x", "y"]}, {"a": "y"}, True, id="any of the values"),
        pytest.param({"a": ["x"], "b": ["y"]}, {"a": "x", "b": "z"}, False, id="all of the fields"),
        pytest.param({"a": ["x"]}, {}, False, id="a field that is missing"),
        pytest.param({"a": {"b": ["x"]}}, {"a": {"b": "x"}}, True, id="nested"),
        pytest.param({"a": {"b": ["x"]}}, {"a": "x"}, False, id="a value where an object should be"),
        pytest.param({"a": ["x"]}, {"a": ["w", "x"]}, True, id="any element of an array"),
        pytest.param({"a": ["x"]}, {"a": "X"}, False, id="case matters"),
        pytest.param({"a": [1]}, {"a": True}, False, id="true is not 1"),
        pytest.param({"a": [None]}, {"a": None}, True, id="null"),
    ],
)
def test_matching(pattern: dict[str, Any], event: dict[str, Any], expected: bool) -> None:
    assert matches(pattern, event) is expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        pytest.param({"source": ["aws.ec2"]}, True, id="of EC2"),
        pytest.param({"source": ["autostop"]}, False, id="our own, which the emulator delivers"),
        pytest.param({"source": ["autostop", "aws.ec2"]}, True, id="of both"),
        pytest.param({"detail": {"a": ["x"]}}, True, id="of any source"),
        pytest.param({"source": [{"prefix": "aws."}]}, True, id="what is refused later"),
    ],
)
def test_only_rules_for_events_of_aws_are_imitated(pattern: dict[str, Any], expected: bool) -> None:
    assert is_for_aws(pattern) is expected


@pytest.mark.parametrize("pattern", [{"detail": {"state": [{"prefix": "st"}]}}, {"$or": [{"a": ["x"]}]}])
def test_a_pattern_that_is_not_imitated_is_refused_by_name(pattern: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedPatternError, match=re.escape("InstanceRule")):
        refuse_what_is_not_imitated("InstanceRule", pattern)
