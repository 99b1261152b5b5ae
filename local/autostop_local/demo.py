"""Two nights of a workstation on your desk, with no AWS account: `make demo`."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from autostop_local import night, notebook
from autostop_local.desk import Desk, desk
from autostop_local.emulator import ROOT
from autostop_local.machine.machine import what_is_missing
from autostop_local.machine.machines import SystemdMachines

_FILE = "result.csv"

# Busy for some seconds, then silent, as a training that waits for its data, until a sweep has told that it works; only
# then is the file there.
_WORK = """
import os, time
until = time.time() + 3
while time.time() < until:
    sum(range(10_000))
time.sleep(7)
while not os.path.exists("{told}"):
    time.sleep(0.2)
with open("{name}", "w") as file:
    file.write("step,loss\\n" + "".join(f"{{step}},{{{factor} / (step + 1)}}\\n" for step in range(2000)))
"""


@dataclass(slots=True)
class Report:
    """What happened, as it is printed and as `demo.json` keeps it."""

    path: Path
    began_at: float = field(default_factory=time.monotonic)
    stages: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Tell a stage's beginning, and its end with its seconds."""
        begun = time.monotonic()
        self.say(f"── {name}", indent="")
        yield
        self.stages[name] = round(time.monotonic() - begun, 1)
        self.say(f"   done in {self.stages[name]} s", indent="")

    def say(self, text: str, indent: str = "   · ") -> None:
        """One line with the seconds since the beginning."""
        print(f"{time.monotonic() - self.began_at:6.1f} s {indent}{text}", flush=True)

    def write(self, *, ok: bool, error: str | None) -> None:
        """Write `demo.json`."""
        found = {"ok": ok, "error": error, "seconds": self.stages, **self.facts}
        self.path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def main(build: Path) -> int:
    """Run the demo; 0 when everything held. build: the directory of `demo.json` and of all that runs."""
    # A closed terminal or a kill ends it as Ctrl-C does: everything is taken down on the way out. A shell starts what
    # runs in the background with SIGINT ignored, so that is set too.
    _on_ending(_interrupt)
    build.mkdir(parents=True, exist_ok=True)
    directory = build / "demo"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    report = Report(build / "demo.json")
    error: str | None = "it was interrupted"
    try:
        with _whole_desk(directory, report) as whole:
            phone = _two_nights(whole, report)
            error = None
            report.write(ok=True, error=None)
            report.say(f"all held; {report.path} tells the rest", indent="")
            if sys.stdout.isatty():
                _stay(phone, report)
    except KeyboardInterrupt:
        report.say("ended", indent="")
    except Exception as failure:
        error = str(failure)
        raise
    finally:
        if error is not None:
            report.write(ok=False, error=error)
    return 0 if error is None else 1


def _on_ending(act: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for ending in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, act)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


@contextmanager
def _whole_desk(directory: Path, report: Report) -> Iterator[Desk]:
    with ExitStack() as stack:
        with report.stage("the cloud on your desk: sam build, sam deploy"):
            missing = what_is_missing()
            report.facts["machine"] = missing or "booted from disks"
            if missing:
                report.say(f"{missing}: the workstation is a JupyterLab beside directories")
            whole = stack.enter_context(desk(directory, say=report.say, with_disks=not missing))
        try:
            yield whole
        finally:
            # Another Ctrl-C would only leave half of it there.
            _on_ending(signal.SIG_IGN)
            report.say("taking everything down", indent="")


def _two_nights(whole: Desk, report: Report) -> night.Phone:
    with report.stage("a workstation: launched, adopted, linked"):
        has_disks = isinstance(whole.machines, SystemdMachines)
        instance = night.launch_from_template(whole, "lab") if has_disks else night.launch(whole, "lab")
        neighbour = night.launch(whole, "somebody else's")
        night.wait_for_jupyter(whole, instance, report.say)
        phone = night.adopt(whole, instance)
        report.facts["volumes"] = {"before": whole.volumes(instance)}
        report.facts["hashes"], report.facts["cost"] = {}, {}
        report.say(f"{instance} is adopted; its page: {phone.link}")
    for count, name in ((1, "the first night"), (2, "the second night, the file changed")):
        _one_night(whole, phone, count, name, report)

    def cycles() -> list[int]:
        return sorted({snapshot["cycle"] for snapshot in whole.snapshots(instance)})

    night.wait_until(lambda: cycles() == [2], "only cycle 2 to be left", lambda: str(cycles()), report.say)
    night.demand(whole.state(neighbour) == "running", "the instance that nobody adopted was touched")
    report.say("only the second cycle's snapshots are left; the neighbour that nobody adopted still runs")
    return phone


def _one_night(whole: Desk, phone: night.Phone, count: int, name: str, report: Report) -> None:
    instance = phone.workstation
    with report.stage(f"{name}: a cell works, first loudly, then silently"):
        work = notebook.open_notebook(whole.machines.server(instance), f"night-{count}.ipynb")
        told = f"told-{count}.txt"
        work.begin(_WORK.format(name=_FILE, factor=count, told=told))
        path = whole.machines.server(instance).files / _FILE
        before = path.stat().st_mtime if path.exists() else None
        give_up = time.monotonic() + night.PATIENCE_SECONDS

        def working() -> bool:
            night.demand(time.monotonic() < give_up, "no sweep has told that the cell works")
            return not path.exists() or path.stat().st_mtime == before

        def say(verdict: str) -> None:
            report.say(verdict)
            if verdict.startswith("active"):
                path.with_name(told).touch()

        # An answer that comes late on a busy machine leaves it unknown for a while, and that is no reason to stop it.
        verdicts = night.sweep_while(whole, instance, working, say)
        night.demand(whole.state(instance) == "running", "it was stopped while the cell worked")
        night.demand(not any(verdict.startswith("idle") for verdict in verdicts), f"not seen as work: {verdicts}")
    with report.stage(f"{name}: idle"):
        digest, identity = night.digest(whole, instance, _FILE), night.identity(whole, instance)
        night.sweep_until_wanted(whole, phone, "shelve", report.say)
    with report.stage(f"{name}: stop, snapshot, delete"):
        shown = night.wait_for_phase(phone, "asleep", report.say)
        _check_shelved(whole, phone, shown, count, report)
    with report.stage(f"{name}: a tap on the link"):
        night.wake(phone, report.say)
        report.say("Jupyter answers")
    with report.stage(f"{name}: settled"):
        night.wait_for_phase(phone, "awake", report.say)
    _check_awake(whole, phone, digest, count, report)
    _check_identity(whole, phone, identity, report)


def _check_shelved(whole: Desk, phone: night.Phone, shown: dict[str, Any], count: int, report: Report) -> None:
    volumes, snapshots = whole.volumes(phone.workstation), whole.snapshots(phone.workstation)
    newest = [(each["device"], each["state"]) for each in snapshots if each["cycle"] == count]
    wanted = [(device, "completed") for device in sorted(night.DISKS)]
    night.demand(not volumes, f"while it is shelved there should be no volume, found {volumes}")
    night.demand(newest == wanted, f"expected one complete snapshot for each device, found {newest}")
    report.facts["volumes"][f"shelved_{count}"] = volumes
    report.facts.setdefault("snapshots", {})[f"shelved_{count}"] = snapshots
    report.facts["cost"][f"night_{count}"] = shown["cost"]
    before, now = shown["cost"]["awake"], shown["cost"]["now"]
    report.say(
        f"disks cost ${before:.2f} a month awake, ${now:.2f} asleep; 0 volumes, {len(newest)} complete snapshots"
    )


def _check_awake(whole: Desk, phone: night.Phone, digest: str, count: int, report: Report) -> None:
    after = night.digest(whole, phone.workstation, _FILE)
    volumes = whole.volumes(phone.workstation)
    report.facts["hashes"][f"night_{count}"] = {"before": digest, "after": after}
    report.facts["volumes"][f"after_{count}"] = volumes
    night.demand(after == digest, f"{_FILE} is not the same: {digest} before, {after} after")
    alike = [
        [{key: volume[key] for key in volume if key != "id"} for volume in each]
        for each in (report.facts["volumes"]["before"], volumes)
    ]
    night.demand(alike[0] == alike[1], f"the volumes are not the same: {alike[0]} before, {alike[1]} after")
    report.say(
        f"{_FILE} has the same SHA-256, {after[:16]}…; devices, types, sizes, delete-on-termination are the same"
    )


def _check_identity(whole: Desk, phone: night.Phone, before: night.Identity, report: Report) -> None:
    after, address = night.identity(whole, phone.workstation), whole.machines.server(phone.workstation).host
    night.demand(after.token == before.token, "Jupyter's token is another one")
    night.demand(after.label == before.label, f"the label was {before.label}, and is {after.label}")
    night.demand(address in after.names, f"the certificate names {after.names}, and not {address}")
    report.facts.setdefault("identities", []).append({"label": after.label, "certificate": after.names})
    report.say(f"the same token, the same label ({after.label}), a certificate for {address}")


def _stay(phone: night.Phone, report: Report) -> None:
    report.say(f"it stays up; open {phone.link} and play. Ctrl-C ends it.", indent="")
    while True:
        phone.desk.stack.invoke_sweep()
        time.sleep(5)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve() if sys.argv[1:] else ROOT / "build"))
