"""The events of EC2 and EBS go where the template's own rules say."""

import json
from pathlib import Path
from typing import Any

import pytest
from moto.events.models import EventPattern

from autostop_local.event_bus import Route, is_for_aws
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
    routes = [
        Route(name, EventPattern.load(json.dumps(rule["Properties"]["EventPattern"])), [])
        for name, rule in rules.items()
    ]
    return [route.rule for route in routes if route.catches(event)]


@pytest.mark.parametrize(("name", "rule"), [
    ("instance-state", "InstanceRule"),
    ("snapshot", "SnapshotRule"),
    ("snapshots-set", "SnapshotRule"),
    ("volume", "VolumeRule"),
])  # fmt: skip
def test_each_sample_event_is_caught_by_one_rule(template: Template, name: str, rule: str) -> None:
    assert rules_that_match(template, sample(name)) == [rule]


@pytest.mark.parametrize("change", [
    pytest.param({"detail": {"instance-id": "i-0123456789abcdef0", "state": "pending"}}, id="a state on the way"),
    pytest.param({"source": "my.own"}, id="another source"),
    pytest.param({"detail-type": "EC2 Spot Instance Interruption Warning"}, id="another kind"),
    pytest.param({"detail": {}}, id="no state at all"),
])  # fmt: skip
def test_other_events_are_caught_by_none(template: Template, change: dict[str, Any]) -> None:
    assert rules_that_match(template, sample("instance-state") | change) == []


@pytest.mark.parametrize(("pattern", "expected"), [
    pytest.param({"source": ["aws.ec2"]}, True, id="of EC2"),
    pytest.param({"source": ["autostop"]}, False, id="our own, which the emulator delivers"),
    pytest.param({"source": ["autostop", "aws.ec2"]}, True, id="of both"),
    pytest.param({"detail": {"a": ["x"]}}, True, id="of any source"),
    pytest.param({"source": [{"prefix": "aws."}]}, True, id="by a prefix"),
])  # fmt: skip
def test_only_rules_for_events_of_aws_are_imitated(pattern: dict[str, Any], expected: bool) -> None:
    assert is_for_aws(pattern) is expected
