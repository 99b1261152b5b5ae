"""Run a command inside a machine: `python enter.py PID COMMAND...`, with the PID of its process 1.

A program of its own, standard library only. nsenter (util-linux) does not do: it stops itself when what it runs is
stopped, as a shutdown stops all at its end, and then the shutdown waits for what nobody collects.
"""

import ctypes
import os
import signal
import sys

# Of linux/sched.h: those of mounts, cgroups, names, IPC, processes, network.
_ALL = 0x20000 | 0x2000000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000
_PR_SET_PDEATHSIG = 1
_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}

libc = ctypes.CDLL(None, use_errno=True)
if libc.setns(os.pidfd_open(int(sys.argv[1])), _ALL) != 0:
    sys.exit(f"the machine cannot be entered: {os.strerror(ctypes.get_errno())}")
os.chdir("/")
child = os.fork()
if child == 0:
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # env looks the command up. Python would import more for it, and its library is not in there.
    os.execve("/usr/bin/env", ["env", *sys.argv[2:]], _ENVIRONMENT)  # noqa: S606 # no shell is meant
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
sys.exit(code if code >= 0 else 128 - code)
