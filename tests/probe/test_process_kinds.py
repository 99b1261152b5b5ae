"""What real programs are, by their names, paths and titles."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.probe.jupyter_servers import wait_for
from tests.probe.machine import (
    Start,
    Terminal,
    cpu_rises,
    jobs,
    jobs_and_doubts,
    names,
    program,
    script,
    seen_below,
    tasks,
)


@pytest.mark.parametrize(("line", "name"), [
    ("top", "top"), ("tail -f /dev/null", "tail"), ("watch -n 600 sleep 500", "sleep"),
    ("python3 {glances}", "python3"), ("python3 {log}", "less"),
])  # fmt: skip
def test_what_only_shows_is_no_job(terminal: Terminal, tmp_path: Path, line: str, name: str) -> None:
    glances = script(tmp_path / "glances", "import time; time.sleep(300)")
    pager = str(program(tmp_path / "less"))
    # A pager reads key by key.
    log = script(tmp_path / "log.py", f"import subprocess, tty; tty.setcbreak(0); subprocess.run([{pager!r}, '300'])")
    terminal.runs(line.format(glances=glances, log=log), name)

    wait_for(lambda: jobs_and_doubts(terminal.pid) == (0, []))


@pytest.mark.parametrize("name", ["htop", "less", "vim.basic", "emacs-nox", "nano", "code", "sudo", "gitstatusd-linu"])
def test_what_is_called_a_viewer_an_editor_a_wrapper_or_a_shell_is_no_job(
    terminal: Terminal, tmp_path: Path, name: str
) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert seen_below(terminal.pid)["jobs"] == 0


@pytest.mark.parametrize("name", [
    "vi.py", "view-results.py", "micro-batch.sh", "ed.sh", "less.py",
    "scp", "rsync", "ssh",  # they go on with another machine
])  # fmt: skip
def test_what_is_called_only_like_one_of_them_is_a_job(terminal: Terminal, tmp_path: Path, name: str) -> None:
    terminal.runs(f"{program(tmp_path / name)} 300", name)

    assert jobs(terminal.pid) == (1, name)


@pytest.mark.parametrize(("name", "title", "logins"), [
    ("sshd", "sshd: ubuntu@pts/3", 1),
    ("sshd", "sshd: ubuntu@pts/3,pts/4", 1),
    ("sshd", "sshd: ubuntu@notty", 1),
    ("sshd", "sshd: ubuntu", 1),
    ("sshd-session", "sshd-session: ubuntu@pts/3", 1),
    ("sshd", "sshd: ubuntu [priv]", 0),
    ("sshd", "sshd: [accepted]", 0),
    ("sshd-session", "sshd-session: root [preauth]", 0),
    ("sshd", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups", 0),
    ("ssm-session-worker", "/usr/bin/ssm-session-worker", 1),
    ("vim", "sshd: ubuntu@pts/3", 0),
])  # fmt: skip
def test_a_connection_is_known_by_its_title(start: Start, tmp_path: Path, name: str, title: str, logins: int) -> None:
    pid = start([title, "300"], executable=program(tmp_path / name))
    wait_for(lambda: [task.name for task in tasks(pid)] == [name[:15]])

    assert seen_below(pid)["logins"] == logins


@pytest.mark.parametrize("place", [
    ".vscode-server/bin/0123abcd/node", ".vscode-server-insiders/cli/servers/Insiders-0123abcd/server/node",
    ".cursor-server/bin/0123abcd/node", ".windsurf-server/bin/0123abcd/node", "usr/lib/code-server/lib/node",
    ".vscode/cli/servers/Stable-0123abcd/server/node", ".vscode/cli/serve-web/0123abcd/node",
    ".local/lib/code-server-4.96.2/lib/node", "openvscode-server-v1.95.3-linux-x64/node", "opt/theia-ide/node",
    "vscode/vscode-server/bin/node", ".zed_server/zed-remote-server-stable-0.170.1",
    ".cache/JetBrains/RemoteDev/dist/0123_ideaIU/jbr/bin/java",
])  # fmt: skip
def test_an_editor_is_one_whatever_it_begins_and_does_not_count(start: Start, tmp_path: Path, place: str) -> None:
    node, indexer = program(tmp_path / place, "bash"), script(tmp_path / "indexer")
    pid = start([node, "-c", f"{node} -c '{indexer}' & wait"])
    wait_for(lambda: "indexer" in names(pid))

    assert cpu_rises(pid) < 0.1
    assert (seen_below(pid)["editors"], jobs_and_doubts(pid)) == (1, (0, [["editor", "indexer"]]))


def test_a_terminal_in_an_editor_is_a_terminal(start: Start, tmp_path: Path) -> None:
    node, train = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash"), script(tmp_path / "train")
    pid = start([node, "-c", f"script -qc {train} /dev/null & wait"])
    wait_for(lambda: "train" in names(pid))

    assert (seen_below(pid)["editors"], jobs(pid)) == (1, (1, "train"))
    assert cpu_rises(pid) > 0.9


def test_an_editor_that_was_begun_on_a_terminal_makes_no_job_of_it(terminal: Terminal, tmp_path: Path) -> None:
    node = program(tmp_path / ".vscode-server/bin/0123abcd/node", "bash")
    launcher = script(
        tmp_path / "launcher.py", f"import subprocess; subprocess.run([{str(node)!r}, '-c', 'sleep 300 & wait'])"
    )
    terminal.runs(f"python3 {launcher}", "sleep")

    assert (seen_below(terminal.pid)["editors"], seen_below(terminal.pid)["jobs"]) == (1, 0)


def test_tmux_is_one_and_its_job_too_after_everybody_left(tmp_path: Path) -> None:
    tmux = ["tmux", "-S", str(tmp_path / "socket"), "-f", "/dev/null"]
    environment = {"PATH": os.environ["PATH"], "SHELL": "/bin/sh"}
    subprocess.run([*tmux, "new-session", "-d", f"exec {script(tmp_path / 'train')}"], check=True, env=environment)
    try:
        said = subprocess.run([*tmux, "display", "-p", "#{pid}"], check=True, env=environment, capture_output=True)
        server = int(said.stdout)
        wait_for(lambda: (seen_below(server)["muxes"], jobs(server)) == (1, (1, "train")))
        assert cpu_rises(server) > 0.9
    finally:
        subprocess.run([*tmux, "kill-server"], check=True, env=environment)
