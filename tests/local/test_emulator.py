"""The emulator is there when asked for, and gone afterwards, however its owner ends."""

import http.client
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autostop_local.emulator import ROOT, Emulator, emulator
from tests.local.conftest import until

# Enters the block, says which group the emulator is, and stays until it is killed.
OWNER = """
import sys, time
from pathlib import Path
from autostop_local.emulator import emulator

with emulator(Path(sys.argv[1])) as running:
    print(running.process.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running


def group_is_alive(group: int) -> bool:
    """True while any process of the group runs; one that has ended and was not yet waited for does not count."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat="], capture_output=True, text=True, timeout=60, check=True)
    rows = [line.split() for line in listed.stdout.splitlines()]
    return any(int(pgid) == group and not state.startswith("Z") for pgid, state in rows)


def test_it_answers_inside_the_block_and_is_gone_after_it(tmp_path: Path) -> None:
    with emulator(tmp_path) as running:
        account = running.session.client("sts", **running.reach).get_caller_identity()["Account"]

        assert account == "000000000000"
        assert group_is_alive(running.process.pid)

    assert not group_is_alive(running.process.pid)


def test_a_killed_owner_leaves_nothing(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT / "local")}
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        group = int(owner.stdout.readline())
        assert group_is_alive(group)

        owner.send_signal(signal.SIGKILL)

    until(lambda: not group_is_alive(group))


def test_a_program_that_runs_against_it_sees_nothing_of_the_callers_aws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "mine")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "mine")

    with emulator(tmp_path) as running:
        environment = running.environment()

    assert "mine" not in environment.values()
    assert environment["AWS_ENDPOINT_URL"] == running.url


@pytest.mark.parametrize("said", [
    {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}, {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"}, {"Host": "evil.example", "Origin": "http://evil.example"},
])  # fmt: skip
def test_no_page_of_a_browser_gets_to_it_but_its_own(alone: Emulator, said: dict[str, str]) -> None:
    asked = "/?Action=CreateStack&StackName=owned&TemplateBody=%7B%7D"
    for method, path in (
        ("GET", asked),
        ("POST", "/_ministack/reset"),
        ("OPTIONS", "/"),
        ("GET", "/_ministack/health"),
    ):
        assert status_of(alone, method, path, said) == 403
    own = {"Host": f"x.execute-api.localhost:{alone.port}", "Origin": f"http://x.execute-api.localhost:{alone.port}"}
    assert status_of(alone, "GET", "/_ministack/health", own | {"Sec-Fetch-Site": "same-origin"}) == 200
    assert status_of(alone, "GET", "/_ministack/health", {}) == 200


def status_of(emulator: Emulator, method: str, path: str, headers: dict[str, str]) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port, timeout=60)
    try:
        connection.request(method, path, headers={"Host": f"127.0.0.1:{emulator.port}", **headers})
        return connection.getresponse().status
    finally:
        connection.close()
