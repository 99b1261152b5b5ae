"""What stands on real terminals: a job, a doubt, or what waits for a person."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.build import row
from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import HOUR, Terminal, jobs, jobs_and_doubts, program, script, seen_below, tasks


def test_a_prompt_is_no_job_and_what_runs_there_is_one(terminal: Terminal) -> None:
    said = seen_below(terminal.pid)
    assert (said["jobs"], said["job"], said["doubts"], said["wrote_at"]) == (0, "", [], None)

    terminal.runs("sleep 300")

    assert jobs(terminal.pid) == (1, "sleep")


def test_a_job_in_the_background_may_wait_for_the_world_and_a_stopped_one_does_not(terminal: Terminal) -> None:
    terminal.runs("sleep 300 &", "sleep")
    assert jobs_and_doubts(terminal.pid) == (0, [["job", "sleep"]])

    (sleeping,) = [task.pid for task in tasks(terminal.pid) if task.name == "sleep"]
    os.kill(sleeping, signal.SIGSTOP)

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, []))


def test_a_shell_that_waits_for_what_it_began_has_a_job() -> None:
    with Terminal(("bash", "--norc")) as opened:
        opened.types("sleep 300 & wait\n")
        wait_for(lambda: jobs(opened.pid) == (1, "sleep"))


@pytest.mark.parametrize(("line", "name"), [
    row("Python", "python3", "python3"),
    row("with options", "python3 -q -X utf8", "python3"),
    row("after a command", "python3 -i -c 'x = 1'", "python3"),
    row("a debugger", "python3 -m pdb {train}", "python3"),
    row("a program asks", "python3 -c 'input()'", "python3"),
    row("and nobody edits the line", "python3 {asks}", "python3"),
    row("cat", "cat", "cat"),
    row("a database", "sqlite3", "sqlite3"),
])  # fmt: skip
def test_what_waits_for_a_person_is_a_prompt(terminal: Terminal, tmp_path: Path, line: str, name: str) -> None:
    train = script(tmp_path / "train.py", "import time; time.sleep(300)")
    asks = script(tmp_path / "asks.py", "import sys; sys.stdin.readline()")
    terminal.runs(line.format(train=train, asks=asks), name)

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, [["prompt", name]]))


@pytest.mark.parametrize(("line", "command"), [
    row("Python", "python3", "import time; time.sleep(300)"),
    row("a database", "sqlite3",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) SELECT max(i) FROM n;"),
    row("a shell", "bash --norc", "sleep 300"),
])  # fmt: skip
def test_a_prompt_that_carries_something_out_is_a_job(terminal: Terminal, line: str, command: str) -> None:
    """A silent query of two hours: the terminal reads lines while it runs."""
    terminal.runs(line)
    wait_for(lambda: line == "bash --norc" or jobs_and_doubts(terminal.pid) == (0, [["prompt", line]]))
    terminal.types(f"{command}\n")

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (1, []))


def test_a_program_that_reads_key_by_key_is_at_work_as_long_as_it_writes(terminal: Terminal, tmp_path: Path) -> None:
    """An agent that thinks keeps its terminal moving; at its prompt it does not."""
    agent = script(
        tmp_path / "agent.py",
        "import time, tty\ntty.setraw(0)\nwhile True: print(end='.', flush=True); time.sleep(0.1)",
    )
    terminal.runs(f"python3 {agent}", "python3")
    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, [["prompt", "python3"]]))
    long_ago = time.time() - HOUR
    os.utime(terminal.path, (long_ago, long_ago))

    # The kernel keeps these times to 8 seconds.
    wait_for(lambda: terminal.reads("..") and time.time() - (seen_below(terminal.pid)["wrote_at"] or 0) < 12)


@pytest.mark.parametrize("viewer", ["tail -f /dev/null", "vmstat 100"])
def test_who_began_a_viewer_on_the_way_is_a_job(terminal: Terminal, tmp_path: Path, viewer: str) -> None:
    began = script(
        tmp_path / "train.py",
        f"import subprocess, time; subprocess.Popen({viewer.split()!r}, stdin=-3, stdout=-3)\ntime.sleep(300)",
    )
    terminal.runs(f"python3 {began}", viewer.split(maxsplit=1)[0])

    assert jobs(terminal.pid) == (1, "python3")


def test_what_sifts_a_log_waits_for_more_of_it(terminal: Terminal) -> None:
    terminal.runs("tail -f /dev/null | grep x | cat", "cat")

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, [["job", "grep"], ["job", "cat"]]))


@pytest.mark.parametrize("line", ["python3 {}", "python3 -u < {}", "python3 -c 'import time; time.sleep(300)'"])
def test_python_at_work_is_a_job(terminal: Terminal, tmp_path: Path, line: str) -> None:
    train = script(tmp_path / "train.py", "import time; time.sleep(300)")
    terminal.runs(line.format(train), "python3")

    wait_for(lambda: jobs(terminal.pid) == (1, "python3"))


@pytest.mark.parametrize(
    ("name", "said"), [("a b", ""), ("c\u00e9", ""), ('"},{', ""), ("train-2.1_x+y", "train-2.1_x+y")]
)
def test_a_name_that_could_be_anything_is_not_told(terminal: Terminal, tmp_path: Path, name: str, said: str) -> None:
    program(tmp_path / name)
    terminal.runs(f"cd {tmp_path}; exec 3>&1; ./'{name}' 300", name)

    assert jobs(terminal.pid) == (1, said)


def test_the_job_at_work_is_the_one_that_is_named(terminal: Terminal, tmp_path: Path) -> None:
    terminal.runs(f"sleep 300 | {script(tmp_path / 'train')}", "train")

    wait_for(lambda: jobs(terminal.pid) == (2, "train"))
