"""What listens on the network or at a path, who is connected to it, and which process that is."""

from __future__ import annotations

import itertools
import os
import socket
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from autostop.probe.processes import rows_of

_MOST_DESCRIPTORS = 4_096  # of a process
_ESTABLISHED, _LISTEN = "01", "0A"  # states in /proc/net/tcp
_MAPPED = "0000000000000000FFFF0000"  # before an address of IPv4 in /proc/net/tcp6


class Listener(NamedTuple):
    """A socket on which a process listens: at an address, or at a path when that is empty.

    place: its descriptor, in /proc. socket: what that shows. local: it listens inside alone.
    """

    address: str
    place: str
    socket: str
    local: bool = True


ELSEWHERE = Listener("", "", "")  # where nobody gets to from here


def is_socket_of(status: os.stat_result, uid: int) -> bool:
    """Whether this is the status of a Unix socket of the user."""
    return stat.S_ISSOCK(status.st_mode) and status.st_uid == uid


def opened_by(folder: Path) -> dict[str, str]:
    """What stands behind the descriptors of a process, and where. Raises OSError when it may not be read or is gone."""
    own = {}
    for entry in itertools.islice(os.scandir(folder / "fd"), _MOST_DESCRIPTORS):
        try:
            own[os.readlink(entry.path)] = entry.path  # noqa: PTH115 - Path.readlink came with Python 3.9
        except OSError:
            continue  # closed while we looked
    return own


def listeners_at(folder: Path, path: str, uid: int) -> list[Listener]:
    """The socket of this name, if it is the user's and this process itself listens on it. Raises OSError."""
    if not is_socket_of(os.lstat(path), uid):
        return []
    own = opened_by(folder)
    # "Num: RefCount Protocol Flags Type St Inode Path"; the flag is that of listen().
    lines = (line for line in rows_of(folder / "net/unix") if line[3] == "00010000" and line[7:] == path.split())
    sockets = [f"socket:[{line[6]}]" for line in lines]
    return [Listener("", own[each], each) for each in sockets if each in own]


def listeners_on(folder: Path, port: int) -> list[Listener]:
    """Where this process itself listens on this port; what listens everywhere is asked on the loopback interface."""
    own = opened_by(folder)
    everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - not bound to, only recognised
    found = []
    for local, shown in tcp_listeners(folder):
        address, _, number = local.partition(":")
        if int(number, 16) == port and shown in own:
            groups = [int(address[start : start + 8], 16) for start in range(0, len(address), 8)]
            family = socket.AF_INET if len(groups) == 1 else socket.AF_INET6
            text = socket.inet_ntop(family, struct.pack(f"={len(groups)}I", *groups))
            is_local = text == "::1" or text.startswith("127.")
            found.append(Listener(everywhere.get(text, text), own[shown], shown, is_local))
    return found


def tcp_listeners(folder: Path) -> Iterator[tuple[str, str]]:
    """Address and port as the kernel writes them, what a descriptor of each shows. Raises OSError, OverflowError."""
    for table in ("tcp", "tcp6"):
        try:
            lines = rows_of(folder / "net" / table)
            # Those that listen come first (Linux, Documentation/networking/proc_net_tcp.rst).
            for line in itertools.takewhile(lambda line: line[3] == _LISTEN, itertools.islice(lines, 1, None)):
                yield line[1], f"socket:[{line[9]}]"
        except FileNotFoundError:
            continue  # no IPv6 here


def tcp_connections(folder: Path) -> Iterator[tuple[str, str, str]]:
    """The two ends of each, and what a descriptor of it shows; likewise."""
    for table in ("tcp", "tcp6"):
        try:
            for line in itertools.islice(rows_of(folder / "net" / table), 1, None):
                if line[3] == _ESTABLISHED:
                    # Of the two ends of one connection one may be written as IPv6.
                    local, remote = (word.replace(_MAPPED, "") for word in line[1:3])
                    yield local, remote, f"socket:[{line[9]}]"
        except FileNotFoundError:
            continue  # no IPv6 here


def port_of(address: str) -> str:
    """Of an address as the kernel writes it."""
    return address.rpartition(":")[2]
