"""The probe where it has little of the processor, much to look at, or no leave to look: then it does not know."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from autostop.idle.reading import Reading, Unknown, Waits, parse_reading
from autostop.probe.limits import STEP_SECONDS
from tests.person.workstation import Workstation
from tests.probe.fuzz import ADA, Case
from tests.probe.jupyter_servers import FalseServer, silent, wait_for
from tests.probe.whole import SOURCE, patient, run

LOOKS = [sys.executable, "-I", "-"]
NO_LEAVE = ["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"]
NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def test_two_hundred_processes_and_twenty_hanging_servers_take_no_longer_than_one(
    serve: Callable[..., FalseServer], tmp_path: Path
) -> None:
    for _ in range(20):
        serve(silent).write_runtime_file(tmp_path)
    many = subprocess.Popen(["sh", "-c", "for i in $(seq 200); do sleep 300 & done; wait"], start_new_session=True)
    try:
        wait_for(lambda: len(psutil.Process(many.pid).children()) == 200, lambda: "they are not there")
        began = time.monotonic()
        said, _ = run(tmp_path, source=patient(SOURCE))
        took = time.monotonic() - began
    finally:
        os.killpg(many.pid, signal.SIGKILL)
        many.wait()

    # What it takes to wait for one after the other; `make bench` tells how long it is on an idle machine.
    assert took < 20 * STEP_SECONDS
    assert {server["status"] for server in said["servers"]} == {"timeout"}
    assert sum(server.get("more", 1) for server in said["servers"]) == 20


def test_at_a_tenth_of_a_core_among_thousands_of_processes_it_knows_all_or_does_not_know(tmp_path: Path) -> None:
    case = Case(0, tmp_path)
    case.lay_ground()
    for _ in range(2_700):
        case.process(ADA, [b"python3", b"job.py"])
    looks = SOURCE.replace(b'PROC = Path("/proc")', f'PROC = Path("{case.proc}")'.encode())
    assert looks != SOURCE

    with subprocess.Popen(LOOKS, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(looks)
        process.stdin.close()
        while process.poll() is None:
            for each, lasts in ((signal.SIGSTOP, 0.045), (signal.SIGCONT, 0.005)):
                process.send_signal(each)
                time.sleep(lasts)
        assert process.stdout is not None
        answer = parse_reading(process.stdout.read().decode(), datetime.now(UTC))

    if isinstance(answer, Reading) and not answer.missing:
        assert answer.machine is not None
        assert Waits.JOB in {doubt.waits for doubt in answer.machine.doubts}
    else:
        assert "did not finish in time" in (answer.reason if isinstance(answer, Unknown) else answer.missing[0])


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workstation]:
    """One on which somebody left a job behind."""
    workstation = Workstation(tmp_path_factory.mktemp("straits") / "left")
    try:
        begun = (
            "SSH_TTY=/dev/pts/9 setpriv --reuid=60001 --regid=60001 --clear-groups setsid sleep 3000 >/dev/null 2>&1 &"
        )
        workstation.run("sh", "-c", begun)
        yield workstation
    finally:
        workstation.end()


@pytest.mark.parametrize("hides", ["invisible", "off"])
@pytest.mark.parametrize("within", [[], NOBODY, NO_LEAVE], ids=["with leave", "as nobody", "without leave"])
def test_who_may_not_look_into_all_processes_does_not_know(left: Workstation, hides: str, within: list[str]) -> None:
    left.run("mount", "-o", f"remount,hidepid={hides}", "proc", "/proc")

    ended = subprocess.run([*left.within, *within, *LOOKS], input=SOURCE, capture_output=True, check=True, cwd="/")

    answer = parse_reading(ended.stdout.decode(), datetime.now(UTC))
    assert isinstance(answer, Reading)
    assert answer.machine is not None
    if within:
        assert "may not look into every process" in "; ".join(answer.missing)
    else:
        assert answer.missing == ()
        assert [(doubt.waits, doubt.name) for doubt in answer.machine.doubts] == [(Waits.JOB, "sleep")]
