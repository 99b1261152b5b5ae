"""Cloud Custodian on the same account, with the idle policy that it can express: the processor alone."""

import json
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.bench.account import REGION, Account

COMMAND = Path(__file__).parents[2] / ".venv-custodian/bin/custodian"
# The processor's threshold of ours, 0.25 cores, is 6.25 % of these instances' four; the window is ours, 30 minutes.
POLICY = {
    "policies": [
        {
            "name": "stop-idle-workstations",
            "resource": "ec2",
            "query": [{"instance-state-name": "running"}, {"tag:autostop": "on"}],
            "filters": [
                {
                    "type": "metrics",
                    "name": "CPUUtilization",
                    "statistics": "Average",
                    "days": 30 / (24 * 60),
                    "period": 300,
                    "value": 6.25,
                    "op": "less-than",
                }
            ],
            "actions": ["stop"],
        }
    ]
}


@dataclass(frozen=True, slots=True)
class Ran:
    """One run. calls: counted by the emulator; would_stop: how many instances matched the policy."""

    version: str
    calls: Counter[str]
    seconds: float
    would_stop: int

    @property
    def total(self) -> int:
        return sum(self.calls.values())


def run(account: Account, directory: Path) -> Ran:
    """A dry run: everything but the stop itself. Raises RuntimeError with what it said when it fails."""
    policy, output = directory / "policy.json", directory / "output"
    policy.write_text(json.dumps(POLICY), encoding="utf-8")
    version = subprocess.run([COMMAND, "version"], capture_output=True, text=True, check=True).stdout.strip()
    account.calls()
    began = time.perf_counter()
    ran = subprocess.run(
        [COMMAND, "run", "--dryrun", "--region", REGION, "--cache-period", "0", "--output-dir", output, policy],
        env=account.environment() | {"HOME": str(directory)},  # where it would keep a cache
        cwd=directory,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if ran.returncode:
        raise RuntimeError(f"Cloud Custodian failed:\n{ran.stderr[-4000:]}")
    matched = json.loads((output / "stop-idle-workstations" / "resources.json").read_text(encoding="utf-8"))
    return Ran(version, account.calls(), seconds, len(matched))
