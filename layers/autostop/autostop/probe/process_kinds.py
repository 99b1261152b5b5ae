"""What a process is: by the path that it was begun from, its command line, and a table of known programs."""

from __future__ import annotations

import os
import re
from functools import lru_cache

from autostop.probe.processes import Task

_SCRIPTS = {
    "jupyter-lab", "jupyter-labhub", "jupyter-nbclassic", "jupyter-notebook", "jupyter-server", "jupyter-singleuser",
    "jupyterhub-singleuser",
}  # fmt: skip
_MODULES = {"jupyter_server", "jupyterhub.singleuser", "jupyterlab", "jupyterlab.labhubapp", "nbclassic", "notebook"}


def is_server(words: list[str]) -> bool:
    """Whether this is the command line of Python that runs a Jupyter server."""
    how, what = _python(words)
    return what in _MODULES if how == "module" else how == "file" and _last(what) in _SCRIPTS


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _python(words: list[str]) -> tuple[str, str]:
    """What this command line lets Python run: `module`, `file`, `code` or `prompt`; "" when it is not Python."""
    if not re.match(r"(python|pypy)[0-9.]*$", _last(words[0]).lstrip("-")):
        return "", ""
    rest = iter(words[1:])
    for word in rest:
        if word == "-m":
            return "module", next(rest, "")
        if word in ("-W", "-X"):
            next(rest, "")
        elif word == "-c":
            return "code", ""
        elif word == "-" or not word.startswith("-"):
            return "file", word
    return "prompt", ""


SHELLS = re.compile(r"ash|bash|busybox|csh|dash|elvish|fish|ksh|mksh|nu|pwsh|rbash|sh|tcsh|xonsh|zsh")
# They show something, for as long as they are left open.
_VIEWERS = re.compile(
    r"atop|bandwhich|bashtop|bat|bmon|bpytop|btm|btop|cmatrix|ctop|dmesg|dstat|gitui|glances|gpustat|htop|iftop|info|"
    r"iostat|iotop|iptraf.*|journalctl|k9s|lazydocker|lazygit|less|lf|lnav|man|mc|more|most|mpstat|mtr|mtr-packet|"
    r"multitail|ncdu|nethogs|nload|nmon|nnn|nvidia-smi|nvitop|nvtop|pidstat|ping6?|powertop|radeontop|ranger|s-tui|sar|"
    r"stern|tail|tig|top|vifm|vmstat|watch|zenith"
)
# They carry out a person's next line, whatever they listen on meanwhile, as for the workers of a cluster.
_PROMPTS = re.compile(r"bpython|ipython3?|ptpython|pyspark|spark-shell")
# They begin something whenever somebody saves, or hands them a task.
_WATCHERS = re.compile(
    r"arq|buildkite-agent|cargo-watch|celery|chokidar|dagster-daemon|dramatiq|entr|fswatch|gitlab-runner|huey_consumer.*|"
    r"inotifywait|nodemon|ptw|pytest-watch|rq|rqworker|Runner\.Listener|taskiq|watchexec|watchmedo"
)
# By their names and no others that begin like them: `vi.py` and `micro-batch.sh` are somebody's programs.
EDITORS = re.compile(
    r"ed|emacs(-(gtk|lucid|nox|pgtk|x|[0-9.]+))?|emacsclient|helix|hx|jed|joe|kak|mcedit|micro|nano|ne|nvim|pico|rnano|"
    r"rvim|vi|view|vim?(\.(athena|basic|gtk|gtk3|motif|nox|tiny))?|vimdiff"
)
# They wait for what they started, which is looked at itself, or for the other end; or they belong to a prompt.
WRAPPERS = re.compile(
    r"abduco|agetty|autossh|bore|chisel|chrt|cloudflared|code|code-insiders|doas|dtach|dumb-init|env|fakeroot|flock|"
    r"frpc|fzf|getty|gitstatusd.*|gpg-agent|ionice|login|mosh|mosh-client|ngrok|nice|nohup|numactl|openvpn|proot|"
    r"screen|script|setsid|sftp-server|ssh|ssh-agent|sshd|sshd-session|stdbuf|su|sudo|taskset|time|timeout|tini|tmux|"
    r"unshare|zellij"
)
# ssh that carries nothing out, and hands on what comes to a port.
_ONLY_HANDS_ON = re.compile(r"-[A-Za-z0-9]*N[A-Za-z0-9]*")
# What they show is another machine's, or a container's whose processes are seen by themselves.
REMOTES = re.compile(WRAPPERS.pattern + r"|docker|kubectl|minicom|nerdctl|oc|picocom|podman|session-manager|telnet")
# Clients of containers: they show what runs elsewhere, or keep it up.
_CLIENTS = re.compile(r"docker|docker-compose|kubectl|nerdctl|oc|podman|podman-compose")
_SHOWS = {"events", "logs", "stats"}
# What a login or a desktop leaves behind by itself.
AGENTS = re.compile(
    r"\(sd-pam\)|at-spi.*|dbus-.*|dconf-.*|dirmngr|eternalterm.*|etserver|evolution-.*|fcitx.*|gnome-keyring.*|goa-.*|"
    r"gpg-agent|gvfs.*|ibus-.*|keyboxd|pipewire.*|pulseaudio|scdaemon|snap|snapd.*|ssh-agent|systemd|tracker-.*|"
    r"watchman|wireplumber|xdg-.*"
)
# Named in 15 characters, which is all that the kernel keeps. Of sshd, the title tells whether anybody is in.
_CONNECTIONS = re.compile(r"ssm-session-wor|mosh-server|etterminal")
_LOGIN = re.compile(r"sshd(-session)?: [^\s\[]+\s*")
_MULTIPLEXERS = re.compile(r"tmux|screen|SCREEN|zellij|dtach|abduco")
_DESKTOPS = re.compile(r"Xvnc|Xtigervnc|Xtightvnc|Xkasmvnc|Xdcv|dcvagent|nxagent|nxnode\.bin|xpra|xrdp-chansrv")
# Programs that are kernels by themselves: R of RStudio, and marimo, whose notebooks run inside it.
_KERNELS = re.compile(r"rsession|marimo")
_INTERPRETERS = re.compile(SHELLS.pattern + "|node|java")
# VS Code and its relatives keep themselves in ~/.vscode-server, ~/.cursor-server and so on, and where `code tunnel` or
# `serve-web` began them, in ~/.vscode/cli; code-server and openvscode-server have their version in their folder.
EDITOR_SERVER = re.compile(
    r"/\.[a-z]+-server(-insiders|-oss)?/|/vscode-server/|/\.vscode(-insiders)?/cli/|/(code-server|openvscode-server)[^/]*/|"
    r"/server-main\.js$|/\.zed_server/|/zed-remote-server|/theia[^/]*/|/JetBrains/(RemoteDev|Fleet)|remote-dev-server"
)
# What an editor begins for itself.
TOOLS = re.compile(
    r".*[-_]?language[-_]?server.*|.*lsp.*|ccls|clangd|copilot.*|fd|git|git-.*|gopls|jdtls|pyright.*|rg|ruff|"
    r"rust-analyzer.*|tsserver|watchman"
)


def kind_of(task: Task) -> str:
    """`server`, `viewer`, the word under which it is counted, or "" for anything else."""
    words = task.words
    names = names_of(task)
    if task.pid == os.getpid() or is_any(_VIEWERS, names) or (is_any(_CLIENTS, names) and _SHOWS & set(words[1:4])):
        return "viewer"
    if is_server(words):
        return "server"
    if _is_kernel(task):
        return "kernels"
    title = _LOGIN.fullmatch(words[0]) if task.name in ("sshd", "sshd-session") else None
    if title or _CONNECTIONS.fullmatch(task.name):
        return "logins"
    if is_any(_MULTIPLEXERS, names) and not task.tty:
        return "muxes"
    if is_any(_DESKTOPS, names):
        return "desktops"
    return "editors" if is_editor_server(task) else ""


def is_editor_server(task: Task) -> bool:
    """By what it is itself run by: after the path of an editor may come a script that is debugged."""
    words = task.words
    hosts = words[:2] if is_any(_INTERPRETERS, names_of(task)) else words[:1]
    return any(EDITOR_SERVER.search(word) for word in hosts)


def is_any(pattern: re.Pattern[str], names: set[str]) -> bool:
    """Whether one of these names is one of the pattern."""
    return any(map(pattern.fullmatch, names))


@lru_cache(maxsize=None)  # noqa: UP033 - cache came with Python 3.9
def names_of(task: Task) -> set[str]:
    """What the program is called: by itself, by who began it, and for a script of Python by the script."""
    words = task.words
    names = {task.name.partition(":")[0], _last(words[0].partition(": ")[0]).lstrip("-")}
    how, what = _python(words)
    if how in ("file", "module"):
        names.add(_last(what).lower() if how == "module" else _last(what))
    return names


def _is_kernel(task: Task) -> bool:
    how, what = _python(task.words)
    if how == "module" and what in ("ipykernel", "ipykernel_launcher", "ipykernel.kernelapp"):
        return True
    if is_any(_KERNELS, names_of(task)):
        return True
    # Those of other languages are known by the file that Jupyter writes for each.
    files = [_last(word) for word in task.words[1:] if word.endswith(".json")]
    return not task.tty and any(name.startswith("kernel-") or "=kernel-" in name for name in files)


def is_program(task: Task) -> bool:
    """Whether a terminal that waits for it waits for more than a shell, a wrapper, a viewer or an editor."""
    names = names_of(task)
    if is_any(SHELLS, names):
        return is_script(task) and task.pid != task.session
    return not is_wrapper(task) and not is_any(EDITORS, names)


def is_wrapper(task: Task) -> bool:
    """Whether it only waits for another program, or for whoever connects; ssh waits for another machine's."""
    if _last(task.words[0]) == "ssh":
        return any(map(_ONLY_HANDS_ON.fullmatch, task.words))
    return is_any(WRAPPERS, names_of(task))


def keeps_up(task: Task) -> bool:
    """Whether it runs containers, or waits for a save or a task, for as long as nobody ends it."""
    words, names = task.words, names_of(task)
    watches = is_any(_WATCHERS, names) or any(word.startswith("--watch") for word in words)
    return watches or (is_any(_CLIENTS, names) and not {"up", "-w"}.isdisjoint(words))


def is_prompt(task: Task) -> bool:
    """Whether it is one that carries out a line after the other."""
    return is_any(_PROMPTS, names_of(task)) or _python(task.words)[0] == "prompt"


def is_script(task: Task) -> bool:
    """Whether it is a shell that waits for what it began, and not for a person."""
    words = iter(task.words[1:])
    # An editor gives the shells of its terminals a file to begin with.
    given = [word for word in words if not (word in ("--init-file", "--rcfile") and next(words, ""))]
    return is_any(SHELLS, names_of(task)) and any(not word.startswith("-") for word in given)
