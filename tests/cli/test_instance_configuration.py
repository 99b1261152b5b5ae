"""What a new instance would need, cut into tags and put together again; never a part of it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autostop import tags
from autostop.launch_facts import LaunchFacts, LaunchRecord, launch_tags, record_launch
from autostop_cli.repair.instance_configuration import is_described, read
from tests.build import row

FACTS = LaunchFacts("m7g.xlarge", "subnet-1", ("sg-1", "sg-2"), "role", "key", "arm64", "uefi", ena=True)
TEXT = st.text(max_size=60)


@given(
    own=st.dictionaries(TEXT.filter(lambda key: not key.startswith(("aws:", tags.PREFIX))), TEXT, max_size=12),
    pieces=st.integers(1, 8),
    words=st.tuples(TEXT, TEXT),
)
def test_what_is_written_is_read_again_and_written_alike(
    own: dict[str, str], pieces: int, words: tuple[str, str]
) -> None:
    facts = LaunchFacts("t3.micro", key=words[0], metadata={"HttpTokens": words[1]})

    written = record_launch("/dev/sda1", facts, own, pieces)
    carried = launch_tags(written)

    assert read("/dev/sda1", {"Name": "lab", **carried}) == written
    assert all(1 <= len(value) <= 256 and value.isascii() and " " not in value for value in carried.values())
    if written.tags:
        assert len(carried) <= pieces
    assert len(written.tags) + written.left_out == len(own)


def test_settings_and_the_name_come_before_other_tags_and_what_has_no_room_is_counted() -> None:
    own = {"A": "x" * 200, "Name": "lab", "autostop:idle-after": "45m", "autostop": "on", "aws:stack": "s"}

    written = record_launch("/dev/sda1", FACTS, own, 1)

    assert written.tags == {"autostop": "on", "autostop:idle-after": "45m", "Name": "lab"}
    assert written.left_out == 1


def test_what_says_that_it_replaces_another_is_not_handed_on() -> None:
    own = {tags.RECOVERED_FROM: "i-0abc", tags.RECOVERED_CYCLE: "3", "Name": "lab"}

    assert record_launch("/dev/sda1", FACTS, own, 5).tags == {"Name": "lab"}


def test_it_reads_as_json() -> None:
    carried = launch_tags(LaunchRecord("/dev/sda1", FACTS, {"Name": "my lab"}))

    assert list(carried) == ["autostop:instance-1-of-1"]
    assert json.loads(carried["autostop:instance-1-of-1"]) == {
        "type": "m7g.xlarge", "subnet": "subnet-1", "groups": ["sg-1", "sg-2"], "profile": "role", "key": "key",
        "architecture": "arm64", "boot": "uefi", "ena": True, "tags": {"Name": "my lab"},
    }  # fmt: skip


def test_what_earlier_versions_wrote_is_read() -> None:
    carried = {
        "autostop:instance-1-of-2": '{"type":"t3.micro","groups":["sg-1"],"boot":"uefi","ebs-optimized":true,"meta',
        "autostop:instance-2-of-2": 'data":{"HttpTokens":"required"},"tags":{"Name":"my\\u0020lab"},"left-out":2}',
    }

    facts = LaunchFacts(
        "t3.micro", security_groups=("sg-1",), boot_mode="uefi", ebs_optimized=True, metadata={"HttpTokens": "required"}
    )
    assert read("/dev/sda1", carried) == LaunchRecord("/dev/sda1", facts, {"Name": "my lab"}, 2)


LONG = launch_tags(LaunchRecord("/dev/sda1", FACTS, {"Name": "x" * 600}))
FIRST, SECOND, THIRD, *_ = LONG
# fmt: off
NOT_ALL_OF_IT = (
    "[]", "{}", '{"type":1}', '{"type":null}', '{"type":"t3.micro","ena":1}', '{"type":"t3.micro","groups":"sg-1"}',
    '{"type":"t3.micro","groups":[1]}', '{"type":"t3.micro","tags":{"Name":1}}', '{"type":"t3.micro","left-out":true}',
)
# fmt: on


@pytest.mark.parametrize("carried", [
    row("none", {}),
    row("one of the middle is missing, and the rest is JSON", {**LONG, SECOND: None}),
    row("the last is missing", {**LONG, list(LONG)[-1]: None}),
    row("edited", {**LONG, SECOND: LONG[SECOND].replace("x", '"')}),
    row("one too many", {**LONG, f"{tags.INSTANCE_PIECE}9-of-4": "x"}),
    row("the last is missing, the rest is JSON", {f"{tags.INSTANCE_PIECE}1-of-2": '{"type":"t3.micro"}'}),
    row("not an object", {f"{tags.INSTANCE_PIECE}1-of-1": "[" * 200}),
    *(row(text, {f"{tags.INSTANCE_PIECE}1-of-1": text}) for text in NOT_ALL_OF_IT),
])  # fmt: skip
def test_what_is_damaged_is_not_read_in_part(carried: dict[str, Any]) -> None:
    assert read("/dev/sda1", {key: value for key, value in carried.items() if value is not None}) is None


def test_other_tags_that_begin_alike_are_no_pieces() -> None:
    assert not is_described({"autostop:instance-types": "t3.micro", "autostop:instance-type": "a b"})
    assert is_described(LONG)
