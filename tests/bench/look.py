"""What one look of the probe costs an idle workstation."""

import json
import subprocess
import sys

from autostop.probe.script import script

PROCESSES = 150
_LOOKS = """
import json, resource, subprocess, sys, time
probe, many = sys.stdin.buffer.read(), int(sys.argv[1])
rest = [subprocess.Popen(["sleep", "300"]) for _ in range(many)]
looks = []
for _ in range(5):
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-I", "-"], input=probe, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    looks.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, time.monotonic() - began))
print(json.dumps([round(min(each), 3) for each in zip(*looks)]))
"""


def measure() -> dict[str, float]:
    """Processor seconds and seconds of the cheapest of some looks, in a namespace of so many processes.

    Raises subprocess.CalledProcessError where only root may make one.
    """
    apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", sys.executable, "-c", _LOOKS, str(PROCESSES)]
    ended = subprocess.run(apart, input=script().encode(), capture_output=True, check=True)
    processor, seconds = json.loads(ended.stdout)
    return {"processes": PROCESSES, "processor_seconds": processor, "seconds": seconds}


def in_words(looked: dict[str, float]) -> str:
    return (
        f"one look of the probe at an idle machine of {looked['processes']} processes: "
        f"{looked['processor_seconds']} s of processor, {looked['seconds']} s in all"
    )
