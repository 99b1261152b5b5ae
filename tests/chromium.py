#!/usr/bin/env python3
"""Chromium, as every test starts it. It hears of no network interface that comes or goes.

It would end each request then that waits for a connection, with ERR_NETWORK_CHANGED (crbug.com/41465264): machines
that boot in other tests have wires of their own. It hears of them by a netlink socket, and does without where there is
none; so this program, which becomes Chromium, takes the right to one from itself.
"""

import ctypes
import os
import platform
import struct
import sys

CHROMIUM = __file__
BARE = "/usr/bin/chromium-headless-shell"
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2  # linux/prctl.h, linux/seccomp.h
_SOCKET = {"x86_64": 41, "aarch64": 198}[platform.machine()]  # asm/unistd.h
_AF_NETLINK, _EAFNOSUPPORT = 16, 97
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06  # linux/bpf_common.h
_ERRNO, _ALLOW = 0x00050000, 0x7FFF0000  # linux/seccomp.h
# Each: what, how many to skip if so, how many if not, with what. In struct seccomp_data the call's number comes first,
# its first argument after 16 bytes.
_NO_NETLINK = [
    (_LOAD, 0, 0, 0),
    (_JUMP_IF_EQUAL, 0, 3, _SOCKET),
    (_LOAD, 0, 0, 16),
    (_JUMP_IF_EQUAL, 0, 1, _AF_NETLINK),
    (_RETURN, 0, 0, _ERRNO | _EAFNOSUPPORT),
    (_RETURN, 0, 0, _ALLOW),
]


class _Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def main() -> None:
    """Become Chromium, with these arguments. Raises OSError if the kernel takes no such filter."""
    packed = b"".join(struct.pack("=HBBI", *each) for each in _NO_NETLINK)
    program = _Program(len(_NO_NETLINK), packed)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for call in (
        (_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
        (_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0),
    ):
        if prctl(*call):
            raise OSError(ctypes.get_errno(), "Chromium could not be kept from netlink")
    os.execv(BARE, [BARE, *FLAGS, *sys.argv[1:]])  # noqa: S606 - there is no shell, and shall be none


if __name__ == "__main__":
    main()
