"""From an empty account to a notebook and out again, by the installed wheel alone."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from playwright.sync_api import Browser, Playwright

from autostop_local import night, notebook
from autostop_local.desk import Cloud, Desk, cloud
from autostop_local.emulator import REGION, ROOT
from autostop_local.machine.machine import what_is_missing
from autostop_local.stack import Stack
from autostop_local.wheel import build_wheel
from tests.chromium import CHROMIUM
from tests.e2e.taps import tap_through_a_morning

pytestmark = pytest.mark.e2e

# Minutes of AWS are seconds here.
QUICK = "--idle-after 15s --grace 5s --warn-before 4s --weak-signals 5s --doubt-for 5s --cpu-period 5s"
# By service, what tells of all there is of one kind: the call, the list in its answer, and what names one.
KINDS = [
    ("apigatewayv2", "get_apis", "Items", "Name"),
    ("cloudformation", "describe_stacks", "Stacks", "StackName"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("dynamodb", "list_tables", "TableNames", ""),
    ("events", "list_rules", "Rules", "Name"),
    ("iam", "list_instance_profiles", "InstanceProfiles", "InstanceProfileName"),
    ("iam", "list_policies", "Policies", "PolicyName"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("lambda", "list_event_source_mappings", "EventSourceMappings", "UUID"),
    ("lambda", "list_functions", "Functions", "FunctionName"),
    ("lambda", "list_layers", "Layers", "LayerName"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("scheduler", "list_schedules", "Schedules", "Name"),
    ("sns", "list_subscriptions", "Subscriptions", "SubscriptionArn"),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("sqs", "list_queues", "QueueUrls", ""),
    ("ec2", "describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
]  # fmt: skip
OF_THE_WORLD = [
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ssm", "describe_parameters", "Parameters", "Name"),
]


@dataclass(frozen=True)
class Laptop:
    """A computer with the wheel, and nothing of the repository. command: the installed `autostop`."""

    command: Path
    home: Path
    cloud: Cloud

    def run(self, words: str) -> str:
        done = subprocess.run(
            [self.command, *words.split()],
            check=False,
            cwd=self.home,
            env=self.cloud.environment(),
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def there_is(self) -> Mapping[str, set[str]]:
        """All that there is in the account, by kind."""
        session: Any = self.cloud.emulator.session
        of_world = {"endpoint_url": self.cloud.world_url, "region_name": REGION}
        of_world |= {"aws_access_key_id": "owner", "aws_secret_access_key": "owner"}
        clients: list[tuple[Any, tuple[str, str, str, str]]] = [
            *((session.client(kind[0], **self.cloud.emulator.reach), kind) for kind in KINDS),
            *((boto3.client(kind[0], **of_world), kind) for kind in OF_THE_WORLD),  # type: ignore[call-overload]
        ]
        there = {
            f"{service} {call}": {each[name] if name else each for each in getattr(client, call)().get(key, ())}
            for client, (service, call, key, name) in clients
        }
        world = self.cloud.world.cloud
        there["instances"] = {each.id for each in world.instances.values() if each.state != "terminated"}
        there["volumes"] = {each.id for each in world.volumes.values() if each.state != "deleting"}
        return there | {"snapshots": set(world.snapshots), "requests": set(world.spots)}


@pytest.fixture(scope="module")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    home = tmp_path_factory.mktemp("laptop")
    wheel = build_wheel(tmp_path_factory.mktemp("wheel") / "built", say=print)
    uv, venv = str(ROOT / ".tools/bin/uv"), str(home / "venv")
    subprocess.run([uv, "venv", "--quiet", "--python", str(ROOT / ".venv/bin/python"), venv], check=True)
    install = [uv, "pip", "install", "--quiet", "--python", venv, "--constraint", str(ROOT / "requirements/dev.txt")]
    subprocess.run([*install, str(wheel)], check=True)
    assert what_is_missing() is None  # what `create` makes is a machine that boots
    with cloud(tmp_path_factory.mktemp("cloud"), with_disks=True) as empty:
        yield Laptop(home / "venv/bin/autostop", home, empty)


@contextmanager
def sweeping(desk: Desk) -> Iterator[None]:
    """While something waits for what only sweeps do."""
    over = threading.Event()

    def sweep() -> None:
        while not over.wait(2):
            desk.stack.invoke_sweep()

    thread = threading.Thread(target=sweep)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextmanager
def protected(desk: Desk, instance: str) -> Iterator[None]:
    """By EC2's stop protection, as its owner sets it in the console."""
    desk.ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": True})
    yield
    desk.ec2.modify_instance_attribute(InstanceId=instance, DisableApiStop={"Value": False})


@contextmanager
def stage(name: str) -> Iterator[None]:
    begun = time.monotonic()
    yield
    sys.stdout.write(f"STAGE {name}: {time.monotonic() - begun:.0f} s\n")


@pytest.fixture
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM)
    yield browser
    browser.close()


def test_from_an_empty_account_to_a_notebook_and_out_again(laptop: Laptop, browser: Browser) -> None:
    before = laptop.there_is()

    with stage("create, until JupyterLab answers"):
        created = laptop.run("create lab --yes --type m6a.2xlarge --size sdf=7 --allow-from 198.51.100.1")

    desk = laptop.cloud.desk(Stack.find(laptop.cloud.emulator, "autostop"))
    [instance] = re.findall(r"--target (i-\w+) --region", created)
    assert "JupyterLab answers." in created
    server = desk.machines.server(instance)
    assert notebook.answers(server)
    assert sorted(volume["size_gib"] for volume in desk.volumes(instance)) == [7, 30]
    assert "was begun before" in laptop.run("create lab --yes --allow-from 198.51.100.1")
    assert (server.files.parent / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[1] in laptop.run(
        "open lab --ssh"
    )
    assert laptop.run("doctor lab").count("autostop-") == 0
    phone = night.Phone(desk, instance, next(word for word in created.split() if f"/w/{instance}#" in word))
    (server.files / "notes.txt").write_text("monday", encoding="utf-8")

    laptop.run(f"adopt lab --yes {QUICK}")
    with stage("idle, until it is asleep"):
        night.sweep_until_wanted(desk, phone, "shelve", print)
        night.wait_for_phase(phone, "asleep", print)
    assert desk.volumes(instance) == []
    late = laptop.run("link lab --scope status --scope keep-awake")
    warning = next(word for word in late.split() if f"/w/{instance}#" in word)
    with stage("start by link, until JupyterLab answers, and what a finger does then"):
        tap_through_a_morning(
            browser,
            phone.link,
            warning,
            jupyterlab=lambda: f"{desk.machines.server(instance).url}lab",
            protected=protected(desk, instance),
        )
    assert (desk.machines.server(instance).files / "notes.txt").read_text(encoding="utf-8") == "monday"

    laptop.run("uninstall lab --dry-run")
    with sweeping(desk), stage("uninstall, which puts it to sleep first"):
        removed = laptop.run("uninstall lab --yes")
    assert f"terminating {instance}" in removed
    there = laptop.there_is()
    assert there["snapshots"] == {each["id"] for each in desk.snapshots(instance)} != set()
    assert there["instances"] == there["volumes"] == set()
    with stage("uninstall of data and stacks"):
        laptop.run("uninstall lab --yes --delete-data lab")
        laptop.run("uninstall --all --yes")

    after = laptop.there_is()
    assert {kind: after[kind] - before[kind] for kind in after if after[kind] - before[kind]} == {}
