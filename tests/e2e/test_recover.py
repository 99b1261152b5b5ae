"""The table is emptied at the worst moments: `autostop recover`, a new link, and a tap bring everything back."""

import time
from datetime import timedelta

import pytest

from autostop_local import night, notebook
from autostop_local.desk import Desk

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

_FILE = "kept.bin"


def empty_table(whole: Desk) -> None:
    """Every item is gone: states, links, leases, verdicts, of every workstation."""
    client = whole.emulator.session.client("dynamodb", **whole.emulator.reach)
    for page in client.get_paginator("scan").paginate(TableName=whole.stack.table_name):
        for item in page["Items"]:
            key = {name: item[name] for name in ("workstation", "kind")}
            client.delete_item(TableName=whole.stack.table_name, Key=key)


def recover(whole: Desk, instance: str) -> night.Phone:
    """What the owner does: the command, and a new link for the phone."""
    dry = whole.autostop("recover", instance)
    assert "Nothing was changed" in dry
    assert f"{instance} is recovered." in whole.autostop("recover", instance, "--yes")
    printed = whole.autostop("link", instance)
    return night.Phone(whole, instance, next(word for word in printed.split() if f"/w/{instance}#" in word))


def shape(whole: Desk, instance: str) -> list[dict[str, object]]:
    return [{key: value for key, value in each.items() if key != "id"} for each in whole.volumes(instance)]


def check_awake(whole: Desk, phone: night.Phone, digest: str, before: list[dict[str, object]]) -> None:
    night.wake(phone, print)
    night.wait_for_phase(phone, "awake", 400, print)
    assert night.digest(whole, phone.workstation, _FILE) == digest
    assert shape(whole, phone.workstation) == before
    assert notebook.answers(whole.machines.server(phone.workstation))


def test_the_table_is_emptied_while_running_in_mid_shelving_and_while_shelved(whole: Desk) -> None:
    instance = night.launch(whole, "of which the table knows nothing")
    night.wait_for_jupyter(whole, instance, print)
    phone = night.adopt(whole, instance)
    (whole.world.disk_path(instance, night.DATA_DEVICE) / _FILE).write_bytes(bytes(range(256)) * 400)
    digest, before = night.digest(whole, instance, _FILE), shape(whole, instance)

    # While it runs.
    phone.status()
    empty_table(whole)
    phone = recover(whole, instance)
    assert phone.status()["phase"] == "awake"

    # In mid-shelving: the root is on its way off, the data disk is still attached or on its way.
    whole.world.timings.detaching = timedelta(seconds=8)
    try:
        night.sweep_until_wanted(whole, phone, "shelve", 400, print)
        until = time.monotonic() + 300
        while not any(call.parameters["InstanceId"] == instance for call in whole.world.journal.calls("DetachVolume")):
            assert time.monotonic() < until
            time.sleep(0.1)
        empty_table(whole)
    finally:
        whole.world.timings.detaching = timedelta(seconds=1)
    assert len(whole.volumes(instance)) == len(night.DISKS)
    phone = recover(whole, instance)
    check_awake(whole, phone, digest, before)

    # While it is shelved.
    night.sweep_until_wanted(whole, phone, "shelve", 400, print)
    night.wait_for_phase(phone, "asleep", 400, print)
    assert whole.volumes(instance) == []
    empty_table(whole)
    phone = recover(whole, instance)
    assert phone.status()["phase"] == "asleep"
    check_awake(whole, phone, digest, before)
    assert not any(instance in body for body in whole.stack.dead_letters())
