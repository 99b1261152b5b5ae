"""A workstation's nights on the desk: work, idleness, sleep and waking, as its owner and AWS would take them."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509

from autostop_local import notebook
from autostop_local.api_client import ApiAnswer
from autostop_local.deploy import deploy_workstation
from autostop_local.desk import QUICK_TAGS, Desk
from workstation.user_data import user_data

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import TagTypeDef

Progress = Callable[[str], None]

# A schedule fires once a minute at the most; here the sweep is invoked by hand, as often as a night of seconds needs.
_SWEEP_EVERY_SECONDS = 2.0
_LOOK_EVERY_SECONDS = 1.0
PATIENCE_SECONDS = 900.0  # of a machine that is busy with other things; an idle one takes one or two minutes

ROOT_DEVICE, DATA_DEVICE = "/dev/sda1", "/dev/sdf"
DISKS: Mapping[str, Mapping[str, Any]] = {
    ROOT_DEVICE: {"VolumeSize": 30, "VolumeType": "gp3", "DeleteOnTermination": True},
    DATA_DEVICE: {"VolumeSize": 200, "VolumeType": "gp2", "DeleteOnTermination": False},
}


class NightError(Exception):
    """Something that had to hold did not; the text says what."""


@dataclass(frozen=True, slots=True)
class Phone:
    """The owner's phone, with the link of one workstation."""

    desk: Desk
    workstation: str
    link: str

    def page(self) -> str:
        """What opening the link shows, before any script runs."""
        return _opened(self.desk.stack.api.page(self.workstation)).body.decode()

    def status(self) -> dict[str, Any]:
        """What the page then asks for."""
        return _body(self.desk.stack.api.status(self.workstation, self._secret))

    def tap(self, action: str) -> dict[str, Any]:
        """Press a button: `start`, `stop` or `keep-awake`."""
        return _body(self.desk.stack.api.post(self.workstation, action, self._secret))

    @property
    def _secret(self) -> str:
        return urlsplit(self.link).fragment


def _opened(answer: ApiAnswer) -> ApiAnswer:
    if answer.status not in (200, 202):
        raise NightError(f"the API answered {answer.status}: {answer.body.decode(errors='replace')}")
    return answer


def _body(answer: ApiAnswer) -> dict[str, Any]:
    return dict(_opened(answer).json())


def demand(holds: bool, what: str) -> None:
    """Raises NightError when it does not hold."""
    if not holds:
        raise NightError(what)


def wait_until(reached: Callable[[], bool], what: str, progress: Callable[[], str], say: Progress) -> None:
    """Look until it is reached, telling each change of progress. Raises NightError when it takes too long."""
    until = time.monotonic() + PATIENCE_SECONDS
    told = ""
    while not reached():
        if (now := progress()) != told:
            say(now)
            told = now
        if time.monotonic() > until:
            raise NightError(f"{what} took longer than {PATIENCE_SECONDS:g} s; last seen: {told}")
        time.sleep(_LOOK_EVERY_SECONDS)


def launch(desk: Desk, name: str, **parameters: Any) -> str:
    """Launch an instance with a root and a data volume, and wait until it runs."""
    instance = desk.world.launch(disks=DISKS, tags={"Name": name, **QUICK_TAGS}, **parameters)
    _wait_until_it_runs(desk, instance)
    return instance


def _wait_until_it_runs(desk: Desk, instance: str) -> None:
    desk.ec2.get_waiter("instance_running").wait(InstanceIds=[instance], WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def launch_from_template(desk: Desk, name: str) -> str:
    """Deploy the workstation's own stack, launch a machine from its template, and wait until it runs."""
    data = deploy_workstation(desk.emulator)
    made = desk.ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)
    launched = desk.ec2.run_instances(
        LaunchTemplate={"LaunchTemplateId": made["LaunchTemplate"]["LaunchTemplateId"]},
        ImageId="ami-00000000000000001",
        UserData=user_data({}),  # type: ignore[arg-type] # boto3 takes bytes, and packs them for the wire
        MinCount=1,
        MaxCount=1,
    )
    instance = launched["Instances"][0]["InstanceId"]
    named: list[TagTypeDef] = [{"Key": key, "Value": value} for key, value in {"Name": name, **QUICK_TAGS}.items()]
    desk.ec2.create_tags(Resources=[instance], Tags=named)
    _wait_until_it_runs(desk, instance)
    return instance


def wait_for_jupyter(desk: Desk, instance: str, say: Progress) -> None:
    """Wait until the instance's JupyterLab answers."""
    wait_until(lambda: _answers(desk, instance), "Jupyter", lambda: "JupyterLab is starting", say)


def _answers(desk: Desk, instance: str) -> bool:
    try:
        return notebook.answers(desk.machines.server(instance))
    except (KeyError, OSError):  # it has not come that far
        return False


def adopt(desk: Desk, instance: str, *options: str, token: str = "") -> Phone:
    """Adopt a workstation and make a link for the phone, by the command `autostop`. token: Jupyter's, for https."""
    runtime = str(desk.machines.server(instance).runtime_directory)
    given = ("--token-from-stdin",) if token else ()
    desk.autostop("adopt", instance, "--yes", "--jupyter-runtime", runtime, *options, *given, stdin=token)
    printed = desk.autostop("link", instance, "--label", "phone")
    link = next(word for word in printed.split() if f"/w/{instance}#" in word)
    return Phone(desk, instance, link)


def digest(desk: Desk, instance: str, name: str) -> str:
    """SHA-256 of a file of the data volume, as the running machine has it."""
    return hashlib.sha256((desk.machines.server(instance).files / name).read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Identity:
    """What a client knows a workstation by. label: of the data volume; None where that is no disk."""

    token: str
    label: str | None
    names: list[str]


def identity(desk: Desk, instance: str) -> Identity:
    """Of the running machine."""
    server = desk.machines.server(instance)
    certificate = x509.load_pem_x509_certificate(server.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return Identity(server.token, desk.machines.label(instance), [str(name.value) for name in names])


def sweep_while(desk: Desk, instance: str, going_on: Callable[[], bool], say: Progress) -> list[str]:
    """Let the sweep look again and again; its verdicts on one workstation, in words."""
    verdicts: list[str] = []
    while going_on():
        verdict = desk.stack.invoke_sweep()["verdicts"].get(instance)
        if verdict and verdict not in verdicts[-1:]:
            verdicts.append(verdict)
            say(verdict)
        time.sleep(_SWEEP_EVERY_SECONDS)
    return verdicts


def sweep_until_wanted(desk: Desk, phone: Phone, wanted: str, say: Progress) -> None:
    """Let the sweep look until it wants something new. Raises NightError when it takes too long."""
    until = time.monotonic() + PATIENCE_SECONDS

    def going_on() -> bool:
        intent = phone.status()["intent"]
        if intent is not None and intent["wanted"] == wanted:
            return False
        demand(time.monotonic() < until, f"no sweep wanted {wanted} within {PATIENCE_SECONDS:g} s")
        return True

    sweep_while(desk, phone.workstation, going_on, say)


def wait_for_phase(phone: Phone, phase: str, say: Progress) -> dict[str, Any]:
    """Watch the page until it shows a phase; gives what it shows then."""
    shown: dict[str, Any] = {}

    def reached() -> bool:
        shown.update(phone.status())
        demand(shown["phase"] != "blocked", f"blocked: {shown['blocked']}")
        return bool(shown["phase"] == phase)

    wait_until(reached, f"to be {phase}", lambda: str(shown["headline"]), say)
    return shown


def wake(phone: Phone, say: Progress) -> dict[str, Any]:
    """Open the link and do what the page does, until Jupyter answers and all is settled."""
    demand("<script" in phone.page(), "the link shows no page")
    if "start" in phone.status()["scopes"]:
        phone.tap("start")
    shown: dict[str, Any] = {}

    def answered() -> bool:
        shown.update(phone.status())
        demand(shown["phase"] != "blocked", f"blocked: {shown['blocked']}")
        return shown["jupyter_url"] is not None

    wait_until(answered, "Jupyter after the tap", lambda: str(shown["headline"]), say)
    demand(_answers(phone.desk, phone.workstation), "the page says so, but Jupyter does not answer")
    return shown
