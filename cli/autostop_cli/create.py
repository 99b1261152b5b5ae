"""The command `create`: from an empty account to a workstation whose notebook answers. Run again, it goes on."""

import base64
import http.client
import secrets
import ssl
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import click

from autostop import tags
from autostop.aws.ec2 import shapes_of, tags_of
from autostop.aws.errors import AlreadySo, aws_errors
from autostop.cost import Prices
from autostop.model import AttachmentState, Instance, InstanceId, InstanceState, WorkstationId
from autostop.ports import BurnedTokenError, DeniedError, NoCapacityError, TransientError
from autostop_cli import VERSION, consent, secret_parameters
from autostop_cli.account import Account
from autostop_cli.adopt import adopt_new
from autostop_cli.arguments import Word, sizes, yes
from autostop_cli.artefacts import Artefacts, artefacts
from autostop_cli.create_plan import Plan
from autostop_cli.deploy import Stacks, code_bucket, upload
from autostop_cli.deployed_stack import is_older
from autostop_cli.errors import EXPECTED
from autostop_cli.links import make_link
from autostop_cli.naming import instances_with
from autostop_cli.new_machine import (
    DEFAULT_TYPE,
    FIRST_FIGURES,
    TYPES,
    Machine,
    Wish,
    find_machine,
    parse_address,
    parse_certificate,
    parse_name,
    parse_notify,
    types_in_words,
)
from autostop_cli.secret_parameters import AS_THE_STACK
from autostop_cli.ssh import with_host_keys
from autostop_cli.start_stop_open import tunnel_to
from autostop_cli.terminal import FailedError, say, table

WORKSTATION_STACK = "autostop-workstation"
PORTS = (22, 443, 8888)
_LOOK_EVERY_SECONDS = 5
_LOOKS = 240
_REACHED_WITHIN_SECONDS = 4
_CERTIFICATES = (
    "self-signed: browsers warn before they show the page, and Safari and phones may refuse the kernel.",
    "public: of Let's Encrypt, which phones and Safari need; it publishes the address and the hour of each wake.",
)
_WARNS = "Its certificate is its own: browsers warn before they show the page, and Safari may refuse the kernel."
_NOT_YET = (
    "It asks Let's Encrypt for a public certificate at each wake, which publishes its address and the hour. Nothing",
    "opens port 80 for that yet, so it stays with its own until a later version does; `autostop doctor` tells why.",
)
_NOTICES = (
    "Before a stop you are told, and can keep it awake from your phone. Name a URL for that, such as",
    f"ntfy://a-topic-that-nobody-guesses (docs/notices.md has others), or `{AS_THE_STACK}`: as for all.",
)

# Shows lines and asks; gives what the function makes of the answer. Where nobody is asked, the default.
Ask = Callable[[Sequence[str], str, str, Callable[[str], str]], str]


@click.argument("name", type=Word("name", parse_name))
@yes
@click.option("--type", help=f"The instance type; else you are asked, or it is {DEFAULT_TYPE}.")
@click.option("--spot", is_flag=True, help="Cheaper; EC2 may stop it at any time, and its disks are never shelved.")
@sizes("Of a disk: sda1 is the system's (else 30 GiB), sdf the data's (else 100).")
@click.option(
    "--allow-from",
    type=Word("address", parse_address),
    help="Let this IPv4 address in at ports 22, 443 and 8888, or `here`: yours. Else Session Manager is the way in.",
)
@click.option(
    "--certificate",
    type=Word("certificate", parse_certificate),
    help="`self-signed`, or `public`, which publishes address and hour of each wake; else you are asked.",
)
@click.option(
    "--notify",
    type=Word("url", parse_notify),
    help="Where its notices go: a URL such as ntfy://topic. A mail address is for all workstations of a new stack.",
)
def create(account: Account, /, *, name: str, yes: bool, sizes: tuple[tuple[str, int], ...], **wished: Any) -> None:
    """Make a workstation under a NAME, and whatever it needs beside itself.

    Shows first what is made and what it costs, and asks; waits until JupyterLab answers; ends with the link for your
    phone. Run again after whatever happened, it goes on where it was.
    """

    def ask(lines: Sequence[str], question: str, default: str, parse: Callable[[str], str]) -> str:
        if yes or not sys.stdin.isatty():
            return default
        say(*lines)
        return str(click.prompt(question, default=default, type=Word("text", parse)))

    given = {option: value for option, value in wished.items() if value is not None}
    Creation(account, Wish(name, sizes=dict(sizes), **given), ask).run(yes=yes)


@yes
def upgrade(account: Account, *, yes: bool, wheel: Callable[[], Artefacts] = artefacts) -> None:
    """Bring stacks of an older version up to the command's; parameters, workstations and data stay as they are."""
    stacks = Stacks(account.cloudformation, account.sleep, say)
    templates = {account.stack_name: "controller", WORKSTATION_STACK: "workstation"}
    versions = {name: outputs.get("Version") for name in templates if (outputs := stacks.outputs(name))}
    for name, there in versions.items():
        if not is_older(there):
            say(f"The stack {name} is of {there}: it stays.")
    older = [name for name, there in versions.items() if is_older(there)]
    if not older:
        return
    made, bucket = wheel(), code_bucket(account.number, account.region)
    if not yes:
        consent.confirm(f"Deploy {VERSION} over {' and '.join(older)}?")
    upload(account.s3, bucket, account.number, made.code)
    for name in older:
        say(f"Deploying {name}")
        stacks.update(name, made.template(templates[name], bucket))


@dataclass
class Creation:
    """One run. ask: for what was not wished for, where it is needed. exists: what there is by now, in words."""

    account: Account
    wish: Wish
    ask: Ask
    wheel: Callable[[], Artefacts] = artefacts
    exists: list[str] = field(default_factory=list)

    def run(self, *, yes: bool) -> None:
        """Make what is missing, after showing it and asking; wait until JupyterLab answers; print the link.

        Whatever it raises, what exists by then is told before.
        """
        refuse_taken_name(self.account, self.wish.name)
        stacks = Stacks(self.account.cloudformation, self.account.sleep, say)
        missing = [name for name in (self.account.stack_name, WORKSTATION_STACK) if not stacks.outputs(name)]
        plan = None if self.account.stack_name in missing else self.account.plans.find(self.wish.name)
        machine = None
        begun = bool(made_as(self.account, self.wish.name)) or (plan is not None and not is_over(self.account, plan))
        if begun:
            say(f"{self.wish.name} was begun before; this goes on with it, as it was planned then.")
        else:
            if not self.wish.type:
                type_ = self.ask(types_in_words(self._prices(*TYPES)), "Which type", DEFAULT_TYPE, str.strip)
                self.wish = replace(self.wish, type=type_)
            if not self.wish.certificate:
                certificate = self.ask(_CERTIFICATES, "Which certificate", "self-signed", parse_certificate)
                self.wish = replace(self.wish, certificate=certificate)
        if self.wish.notify is None and not (begun and plan is not None and plan.linked):
            notify = self.ask(_NOTICES, "Where its notices go", AS_THE_STACK, parse_notify)
            self.wish = replace(self.wish, notify=None if notify == AS_THE_STACK else notify)
        if not begun:
            vpc = (stacks.outputs(WORKSTATION_STACK) or {}).get("VpcId", "default")
            machine = find_machine(self.account.ec2, self.account.ssm, self.wish, vpc)
            say(*self._shown(missing, machine, self._prices(self.wish.type)))
            if not yes:
                consent.confirm("\nCreate it?")
        try:
            outputs = self._deploy(stacks, missing)
            if machine is not None:
                token, group = secrets.token_hex(32), self._group(machine.vpc)
                request = machine.request(token, group, outputs, self.wheel().user_data)
                plan = self.account.plans.put(Plan(self.wish.name, request), plan)
            self._finish(self._launched(plan))
        except (*EXPECTED, FailedError, KeyboardInterrupt):
            self._tell_what_exists()
            raise

    def _prices(self, *types: str) -> Prices:
        """Of today; where AWS does not tell them, the first figures."""
        try:
            return self.account.price_list.read(self.account.region, types, self.account.clock())
        except (DeniedError, TransientError):
            return FIRST_FIGURES

    def _shown(self, missing: list[str], machine: Machine, prices: Prices) -> list[str]:
        what = {
            self.account.stack_name: "the controller: functions, a queue, a table, the page; less than $1 a month",
            WORKSTATION_STACK: "a role, a private bucket and a launch template for machines",
        }
        rows = [(f"stack {name}", what[name]) for name in missing]
        if self.account.stack_name in missing:
            rows.append((f"bucket {self._bucket}", "the functions' code"))
        elif self.wish.mail:
            rows.append((f"stack {self.account.stack_name}", "is there already: a mail address changes nothing of it"))
        if self._url:
            rows.append(("parameter /autostop/ITS-ID/notice-url", "where its own notices go, encrypted"))
        door = f"lets {self.wish.allow_from} in at ports 22, 443 and 8888" if self.wish.allow_from else "lets nobody in"
        rows.append((f"security group {group_name(self.wish.name)}", door))
        return [
            f"This is made in {self.account.region} of account {self.account.number}:",
            "",
            *table(rows),
            *machine.shown(prices),
            *(_NOT_YET if self.wish.certificate == "public" else (_WARNS,)),
        ]

    @property
    def _url(self) -> str | None:
        """For the notices of this workstation alone."""
        return None if self.wish.mail else self.wish.notify

    @property
    def _bucket(self) -> str:
        return code_bucket(self.account.number, self.account.region)

    def _deploy(self, stacks: Stacks, missing: list[str]) -> Mapping[str, str]:
        """Gives the outputs of the workstation's stack."""
        name = self.account.stack_name
        if name in missing:
            made = self.wheel()
            say(f"Uploading the code to {self._bucket}")
            upload(self.account.s3, self._bucket, self.account.number, made.code)
            self.exists.append(f"bucket {self._bucket}")
            say(f"Deploying {name}; this takes some two minutes")
            mail = {"NoticeEmail": self.wish.mail} if self.wish.mail else {}
            stacks.create(name, made.template("controller", self._bucket), mail)
            self.exists.append(f"stack {name}")
        if WORKSTATION_STACK in missing:
            say(f"Deploying {WORKSTATION_STACK}")
            stacks.create(WORKSTATION_STACK, self.wheel().template("workstation"), {})
            self.exists.append(f"stack {WORKSTATION_STACK}")
        return stacks.outputs(WORKSTATION_STACK) or {}

    def _launched(self, plan: Plan | None) -> Plan:
        """The plan with its instance, which runs or did so before; one that the table has lost is written anew."""
        found = made_as(self.account, self.wish.name)
        if plan is None:
            lost = {"ClientToken": secrets.token_hex(32), "SecurityGroupIds": []}
            plan = self.account.plans.put(Plan(self.wish.name, lost), None)
        for group in plan.request["SecurityGroupIds"]:
            self._open_door(group)
            self.exists.append(f"security group {group_name(plan.name)}")
        known = replace(plan, instance=found[0], removed=False) if found else None
        plan = self.account.plans.put(known, plan) if known else self._run(plan)
        self.exists.append(f"instance {plan.instance}")
        secret_parameters.keep(self.account, secret_parameters.notices_to(WorkstationId(plan.instance), self._url))
        return plan

    def _run(self, plan: Plan) -> Plan:
        say(f"Launching {plan.request['InstanceType']} in {plan.request['Placement']['AvailabilityZone']}")
        asked = dict(plan.request) | {"UserData": base64.b64decode(plan.request["UserData"])}
        try:
            with aws_errors():
                answer = self.account.ec2.run_instances(**asked)
        except BurnedTokenError:
            # The plan's machine was terminated: the next one is another.
            self.account.plans.drop(plan)
            raise DeniedError(f"{plan.name} was terminated meanwhile. Run it again: it makes a new one.") from None
        except (DeniedError, TransientError) as error:
            if isinstance(error, TransientError) and not (error.refused or isinstance(error, NoCapacityError)):
                raise
            self.account.plans.drop(plan)
            raise DeniedError(
                f"{str(error).rstrip('.')}. Nothing was launched. Correct it, or take another --type, and run it again."
            ) from error.__cause__
        return self.account.plans.put(replace(plan, instance=answer["Instances"][0]["InstanceId"]), plan)

    def _group(self, vpc: str) -> str:
        """Its security group, made if need be."""
        name, made_for = group_name(self.wish.name), shapes_of({tags.CREATED: self.wish.name})
        with aws_errors():
            with AlreadySo("InvalidGroup.Duplicate"):
                made = self.account.ec2.create_security_group(
                    GroupName=name,
                    Description=f"autostop: the workstation {self.wish.name}",
                    VpcId=vpc,
                    TagSpecifications=[{"ResourceType": "security-group", "Tags": made_for}],
                )
                return made["GroupId"]
            (found,) = self.account.ec2.describe_security_groups(
                Filters=[{"Name": "group-name", "Values": [name]}, {"Name": "vpc-id", "Values": [vpc]}]
            )["SecurityGroups"]
        if tags_of(found.get("Tags")).get(tags.CREATED) != self.wish.name:
            raise DeniedError(f"There is a security group {name} that is not of `autostop create`. Take another name.")
        return found.get("GroupId", "")

    def _open_door(self, group: str) -> None:
        if self.wish.allow_from is None:
            return
        of_one = [{"CidrIp": f"{self.wish.allow_from}/32", "Description": f"autostop create {self.wish.name}"}]
        wanted: Any = [{"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": of_one} for port in PORTS]
        with aws_errors(), AlreadySo("InvalidPermission.Duplicate"):
            self.account.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=wanted)

    def _finish(self, plan: Plan) -> None:
        workstation, instance = WorkstationId(plan.instance), self._awaited(plan)
        if instance.state is not InstanceState.RUNNING:
            say(f"{plan.name} ({workstation}) is there, and asleep. Wake it: autostop start {plan.name}")
            return
        plan = with_host_keys(self.account, plan)
        say("JupyterLab answers.", "")
        if not plan.linked:
            make_link(self.account, workstation)
            self.account.plans.put(replace(plan, linked=True), plan)
        say(
            "",
            f"{plan.name} is ready: https://{instance.address}/lab",
            "It asks for a token, which `sudo cat /var/lib/autostop/token` shows on the machine. A shell there, and a",
            "tunnel to https://localhost:8888/lab, by the AWS CLI and its Session Manager plugin:",
            "",
            f"  aws ssm start-session --target {workstation} --region {self.account.region}",
            f"  {tunnel_to(self.account, workstation, 8888)}",
            "",
            f"By ssh, which knows it by the key of its first boot: autostop open {plan.name} --ssh",
            f"Another link: autostop link {plan.name}. What costs money: autostop list. Away with it: "
            f"autostop uninstall {plan.name}",
        )

    def _awaited(self, plan: Plan) -> Instance:
        """The instance once its JupyterLab answers, or at once when it sleeps. Raises FailedError."""
        workstation, told, adopted, begun = WorkstationId(plan.instance), "", False, False
        for _ in range(_LOOKS):
            # EC2's lists lag behind the launch.
            instance, now = self.account.find(workstation), "EC2 does not list it yet"
            if instance is not None:
                if instance.is_gone:
                    why = f": {instance.state_reason}" if instance.state_reason else ""
                    raise FailedError(f"{workstation} was terminated{why}.")
                if instance.state in (InstanceState.STOPPING, InstanceState.STOPPED):
                    if not begun:
                        return instance
                    raise FailedError(f"{workstation} fell back to stopped: {instance.state_reason}")
                begun, now = True, "it is being started"
            if instance is not None and instance.state is InstanceState.RUNNING:
                now = "the first boot installs JupyterLab, which takes some minutes"
                if not adopted and self._has_its_disks(plan):
                    adopt_new(self.account, workstation)
                    adopted = True
                if adopted and self._answers(instance):
                    return instance
            if now != told:
                say(f"{workstation}: {now}")
                told = now
            self.account.sleep(_LOOK_EVERY_SECONDS)
        raise FailedError(
            f"{workstation} runs, but its JupyterLab does not answer yet. See `autostop status {self.wish.name}`."
        )

    def _has_its_disks(self, plan: Plan) -> bool:
        """True when all of them are seen attached."""
        volumes = self.account.disks.volumes(WorkstationId(plan.instance))
        attached = [each for each in volumes if each.attachment is AttachmentState.ATTACHED]
        return len(attached) >= max(1, len(plan.request.get("BlockDeviceMappings", ())))

    def _answers(self, instance: Instance) -> bool:
        """Seen from here where there is a way in; else by the controller, which asks by Session Manager."""
        if self.wish.allow_from and jupyter_answers(str(instance.address)):
            return True
        return self.account.owner.status(instance.workstation).jupyter_url is not None

    def _tell_what_exists(self) -> None:
        what = ", ".join(self.exists) if self.exists else "nothing new"
        say(
            "",
            f"By now there is: {what}. To go on run the same again; to undo it: autostop uninstall {self.wish.name}, "
            "and --all for the stacks.",
            err=True,
        )


def group_name(name: str) -> str:
    """Of the security group of one workstation."""
    return f"autostop-{name}"


def machine_of(account: Account, plan: Plan) -> Instance | None:
    """What came of it; None also of one that EC2 does not list yet."""
    return account.instances.find(InstanceId(plan.instance)) if plan.instance else None


def is_over(account: Account, plan: Plan) -> bool:
    """True when its machine is terminated."""
    instance = machine_of(account, plan)
    return plan.removed or (instance is not None and instance.is_gone)


def made_as(account: Account, name: str) -> list[str]:
    """The instances that `create` made under a name and that are not terminated."""
    return list(instances_with(account, tags.CREATED, name))


def refuse_taken_name(account: Account, name: str) -> None:
    """Raises DeniedError where an instance that `create` did not make has it."""
    named = instances_with(account, "Name", name)
    taken = [each for each, carried in named.items() if carried.get(tags.CREATED) != name]
    if taken:
        raise DeniedError(f"The instance {taken[0]} has the name {name}, and `autostop create` did not make it.")


def jupyter_answers(host: str) -> bool:
    """True when a JupyterLab speaks TLS there; whose certificate it is is not asked."""
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 - it has its own, and nothing secret is sent
    connection = http.client.HTTPSConnection(host, timeout=_REACHED_WITHIN_SECONDS, context=context)
    try:
        connection.request("GET", "/api")
        return b'"version"' in connection.getresponse().read(1000)
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
