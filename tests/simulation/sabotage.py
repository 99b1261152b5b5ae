"""`make sabotage`: takes out each guard in turn, in a copy, and shows which test or history notices.

A refusal is an `if` of sleep/law.py, unsuitable.py or capacity.py that gives a reason; whole questions are taken out
too, since many a guard stands twice. The others are named below, with where they stand.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_LAYER = _ROOT / "layers" / "autostop"
# Where every refusal is, and how the functions begin that refuse: a step, a machine altogether, another type.
_REFUSALS = {"autostop/sleep/law.py": "", "autostop/sleep/unsuitable.py": "", "autostop/sleep/capacity.py": "why_"}


@dataclass(frozen=True, slots=True)
class Sabotage:
    """One guard taken out: in `file`, the text from `start` to `end` becomes `instead`."""

    guard: str
    file: str
    start: int
    end: int
    instead: str = "False"


@dataclass(frozen=True, slots=True)
class Caught:
    """Who noticed: a test, else a seed with what it said; both None when nobody did."""

    guard: str
    file: str
    seed: int | None
    said: str
    test: str | None


# Guards that stand elsewhere: file, what it guards, its text, and what stands there without it.
_NAMED = (
    (
        "autostop/aws/states.py",
        "a write rests on the version that was read",
        '"ConditionExpression": "version = :version"',
        '"ConditionExpression": "version > :version OR version <= :version"',
    ),
    (
        "autostop/aws/leases.py",
        "one reconciler at a time",
        '"attribute_not_exists(workstation) OR #until < :now OR holder = :holder"',
        '"attribute_not_exists(workstation) OR #until < :now OR #until >= :now OR holder = :holder"',
    ),
    (
        "autostop/idle/stop_plan.py",
        "a verdict from before the owner's wish counts for nothing",
        "intent is not None and now <= intent.at",
        "False",
    ),
    (
        "autostop/app/sweep.py",
        "what was judged by an older state is not wanted",
        "state.version != known.version",
        "False",
    ),
    (
        "autostop/sleep/detached.py",
        "what stood detached for long is snapshotted once more before it goes",
        "it.intent.at - since < _UNWATCHED_FOR",
        "True",
    ),
    (
        "autostop/idle/stop_plan.py",
        "nobody is stopped who was not told in time",
        "stop_at <= now and was_told_long_enough",
        "stop_at <= now",
    ),
    (
        "autostop/idle/last_look.py",
        "right before a stop it must still be idle",
        "LastLook.STOP if verdict.kind is VerdictKind.IDLE else LastLook.TURN_BACK",
        "LastLook.STOP",
    ),
    (
        "autostop/idle/last_look.py",
        "no old answer stops anything",
        "answer is None or now - answer.at > holds_for",
        "answer is None",
    ),
    (
        "autostop/idle/cloudwatch_metrics.py",
        "what was measured before the launch counts for nothing",
        "at >= activity.launched_at and (at",
        "(at",
    ),
    (
        "autostop/idle/signs_of_answer.py",
        "what was answered before the launch, or long ago, counts for nothing",
        "answer.at < activity.launched_at or now - answer.at > ANSWER_VALID_FOR",
        "False",
    ),
)


def guards() -> list[Sabotage]:
    """All guards: whole questions, each refusal, and those that stand elsewhere."""
    refusals = {file: (_LAYER / file).read_text(encoding="utf-8") for file in _REFUSALS}
    rules = [rule for file, source in refusals.items() for rule in _rules(file, source)]
    return [*rules, *_named(), *(guard for file, source in refusals.items() for guard in _of_refusals(file, source))]


def _rules(file: str, source: str) -> Iterator[Sabotage]:
    """Every question, answered with yes at once."""
    starts = _line_starts(source)
    for function in (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)):
        if function.name.startswith("why_not"):
            first = function.body[1]
            begin = starts[first.lineno - 1] + first.col_offset
            yield Sabotage(f"{function.name}, all of it", file, begin, begin, "return None\n    ")


def _line_starts(source: str) -> list[int]:
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line.encode()))
    return starts


def _of_refusals(file: str, source: str) -> Iterator[Sabotage]:
    """Every `if` whose body only returns a reason, by function and reason."""
    starts = _line_starts(source)
    for function in (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)):
        if not function.name.startswith(_REFUSALS[file]):
            continue
        for node in ast.walk(function):
            if isinstance(node, ast.If) and _gives_a_reason(node):
                test = node.test
                begin = starts[test.lineno - 1] + test.col_offset
                end = starts[(test.end_lineno or test.lineno) - 1] + (test.end_col_offset or 0)
                text = " ".join((ast.get_source_segment(source, test) or "").split())
                yield Sabotage(f"{function.name}: {text}", file, begin, end)


def _gives_a_reason(node: ast.If) -> bool:
    last = node.body[-1]
    return isinstance(last, ast.Return) and last.value is not None and not _is_none(last.value)


def _is_none(value: ast.expr) -> bool:
    return isinstance(value, ast.Constant) and value.value is None


def _named() -> Iterator[Sabotage]:
    for file, guard, text, instead in _NAMED:
        source = (_LAYER / file).read_bytes()
        if source.count(text.encode()) != 1:
            raise ValueError(f"{file} does not have exactly once: {text}")
        begin = source.index(text.encode())
        yield Sabotage(guard, file, begin, begin + len(text.encode()), instead)


def hunt(sabotage: Sabotage, seeds: int) -> Caught:
    """Run the tests without the guard, which take seconds; if none notices, histories until one does."""
    with tempfile.TemporaryDirectory() as scratch:
        layer = Path(scratch) / "layer"
        shutil.copytree(_LAYER, layer, ignore=shutil.ignore_patterns("__pycache__"))
        target = layer / sabotage.file
        source = target.read_bytes()
        target.write_bytes(source[: sabotage.start] + sabotage.instead.encode() + source[sabotage.end :])
        paths = [str(layer), *(str(_ROOT / part) for part in ("local", "cli", ""))]
        test = _by_test(paths)
        seed, said = _by_history(paths, seeds, Path(scratch)) if test is None else (None, "")
        return Caught(sabotage.guard, sabotage.file, seed, said, test)


def _by_history(paths: list[str], seeds: int, scratch: Path) -> tuple[int | None, str]:
    report = scratch / "report.json"
    asked = ["-m", "tests.simulation", str(seeds), "--jobs", "1", "--until-first", "--report", str(report)]
    try:
        ended = subprocess.run(  # noqa: PLW1510 - failing is what is hoped for
            [sys.executable, *asked], cwd=_ROOT, env=_env(paths), capture_output=True, text=True, timeout=10 * seeds
        )
    except subprocess.TimeoutExpired:
        return None, ""  # without this guard something goes on for ever; a test may say what
    told = next((line for line in ended.stdout.splitlines() if line.startswith("seed ")), None)
    if told is None:
        return None, "" if ended.returncode == 0 else (ended.stderr.strip().splitlines() or [""])[-1]
    head, _, said = told.partition(": ")
    return int(head.split()[1]), said


def _by_test(paths: list[str]) -> str | None:
    options = ["-o", f"pythonpath={' '.join(paths)}", "-p", "no:cacheprovider", "-x", "-q", "--no-header"]
    files = ["tests/idle", "tests/sleep", "tests/aws/test_ledger.py", "tests/app/test_last_minutes.py"]
    asked = ["-m", "pytest", *options, *files]
    ended = subprocess.run([sys.executable, *asked], cwd=_ROOT, env=_env(paths), capture_output=True, text=True)  # noqa: PLW1510 - as above
    failed = [line for line in ended.stdout.splitlines() if line.startswith(("FAILED ", "ERROR "))]
    return failed[0].partition(" ")[2].partition(" - ")[0] if failed else None


def _env(paths: list[str]) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> int:
    """Exit code 1 when a guard can be taken out and nobody notices."""
    parser = argparse.ArgumentParser(prog="make sabotage", description=__doc__)
    parser.add_argument("--seeds", type=int, default=60, help="at most so many histories for each guard")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="guards with this text")
    parser.add_argument("--report", type=Path, default=Path("build/sabotage.json"))
    asked = parser.parse_args()
    chosen = [each for each in guards() if asked.only in each.guard]
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(_LAYER), *(str(_ROOT / part) for part in ("local", "cli", ""))]
        seed, said = _by_history(paths, asked.seeds, Path(scratch))
    if seed is not None or said:
        print(f"with every guard in its place seed {seed} fails already, and proves nothing: {said}")
        return 1
    caught = []
    with ThreadPoolExecutor(asked.jobs) as pool:
        for each in pool.map(partial(hunt, seeds=asked.seeds), chosen):
            caught.append(each)
            print(row(each), flush=True)
    asked.report.parent.mkdir(parents=True, exist_ok=True)
    asked.report.write_text(json.dumps([asdict(each) for each in caught], indent=2) + "\n", encoding="utf-8")
    unseen = [each for each in caught if each.seed is None and each.test is None]
    by_seed = sum(each.seed is not None for each in caught)
    print(f"\n{len(caught)} guards: {by_seed} noticed by a history, {len(unseen)} by nobody")
    return 1 if unseen else 0


def row(caught: Caught) -> str:
    """A line of the table in docs/safety.md."""
    noticed = "nobody"
    if caught.seed is not None:
        noticed = f"seed {caught.seed}: {caught.said[:100]}"
    elif caught.test:
        noticed = f"`{caught.test.rpartition('/')[2][:90]}`"
    return f"| `{caught.guard.replace('|', '/')}` | {noticed} |"


if __name__ == "__main__":
    sys.exit(main())
