"""The command `verify`: what it shows, asks, does and tells."""

from collections.abc import Iterator

from autostop import tags
from autostop.model import Observation, Snapshot, Volume, WorkstationId
from autostop.ports import DamagedError
from autostop.sleep.from_tags import UnreadableError, manifest_from_tags
from autostop.sleep.manifest import Manifest
from autostop_cli import consent
from autostop_cli.account import Account
from autostop_cli.arguments import an_instance, dry_run, yes
from autostop_cli.deployed_stack import NoStackError
from autostop_cli.terminal import FailedError, say, table
from autostop_cli.verify.verifier import Verifier
from autostop_cli.verify.worth import Verdict, Worth, cost_an_hour


@an_instance
@yes
@dry_run("Show what would be done and what it costs, and make nothing.")
def verify(account: Account, workstation: WorkstationId, *, yes: bool = False, dry_run: bool = False) -> None:
    """Try whether the last snapshots of an INSTANCE bring its disks back as they were.

    Makes scratch volumes from them, compares these, removes them, and says of each disk whether its snapshot is good,
    damaged, missing or foreign, and what to do. What an interrupted one left is removed when it is run again.
    """
    manifest = _manifest(account, workstation)
    verifier = Verifier(account, manifest)
    _collect(verifier, yes=yes, dry_run=dry_run)
    verifier.look()
    tried = [device for device, verdict in verifier.verdicts.items() if verdict is None]
    say(*_shown(manifest, tried))
    left: tuple[str, ...] = ()
    if dry_run:
        say("", "Nothing was made: this was a dry run.")
    elif tried:
        if not yes:
            consent.confirm(f"\nVerify {workstation}?")
        try:
            left = verifier.verify()
        except KeyboardInterrupt:
            raise _InterruptedError(f"Interrupted. `autostop verify {workstation}` removes what may be left.") from None
    _tell_verdicts(verifier, left)


def _manifest(account: Account, workstation: WorkstationId) -> Manifest:
    """Of its last shelving: by the table, or by the tags where that does not know it."""
    try:
        manifest = account.ledger.load(workstation).manifest
    except (NoStackError, DamagedError) as error:
        say(f"Note: {error} What the tags say is verified.", err=True)
        manifest = None
    if manifest is None:
        instance = account.find(workstation)
        volumes, snapshots = account.disks.volumes(workstation), account.disks.snapshots(workstation)
        try:
            manifest = manifest_from_tags(Observation(workstation, instance, tuple(volumes), tuple(snapshots)))
        except UnreadableError as error:
            raise FailedError(f"{workstation} has no snapshots to verify: {error}.") from error
    if any(record.snapshot is None for record in manifest.volumes):
        raise FailedError(f"{workstation} is being shelved. Verify it when it is asleep: autostop status.")
    return manifest


def _collect(verifier: Verifier, *, yes: bool, dry_run: bool) -> None:
    """Remove what an interrupted verification left."""
    left = verifier.left()
    if not left:
        return
    say("A verification that did not end left this behind:")
    begun = [(each.id, _what(each), f"begun {each.tags[tags.VERIFICATION].partition('/')[2]}") for each in left]
    say(*(f"  {line}" for line in table(begun)))
    if dry_run:
        say("It is removed when it is no dry run.", "")
        return
    if not yes:
        consent.confirm("\nRemove it first? If another verification of it is running just now, let that end instead.")
    if kept := verifier.remove(lambda _: True):
        raise FailedError(f"Not everything is removed: {'; '.join(kept)}.")
    say("That is removed.", "")


def _what(each: Volume | Snapshot) -> str:
    return f"scratch volume, {each.size_gib} GiB" if isinstance(each, Volume) else f"snapshot, {each.state}"


def _shown(manifest: Manifest, tried: list[str]) -> Iterator[str]:
    yield f"{manifest.workstation}, asleep in cycle {manifest.cycle}, would be restored from:"
    disks = [(each.device, each.snapshot or "", each.type, f"{each.size_gib} GiB") for each in manifest.volumes]
    yield from (f"  {line}" for line in table(disks))
    if tried:
        yield ""
        yield (
            f"Scratch volumes are made from the snapshots of {', '.join(tried)}, compared, and "
            "removed. Nothing of yours is changed. "
            f"They cost at most ${cost_an_hour(manifest):.2f} an hour while they are there, which is some minutes."
        )


def _tell_verdicts(verifier: Verifier, left: tuple[str, ...]) -> None:
    verdicts = list(verifier.verdicts.items())
    records = {each.device: each for each in verifier.manifest.volumes}
    rows = [(device, records[device].snapshot or "", *_row(verdict)) for device, verdict in verdicts]
    say("", *table([("DISK", "SNAPSHOT", "VERDICT", "EQUAL"), *rows]))
    known = [verdict for _, verdict in verdicts if verdict is not None]
    for why in sorted({each.not_compared for each in known if each.not_compared}):
        say(f"The content was not compared: {why}.")
    problems = [f"{each.record.device}: {each.why}. {each.remedy}." for each in known if each.worth is not Worth.GOOD]
    if left:
        again = f"`autostop verify {verifier.workstation}` removes it"
        problems.append(f"Not everything that was made is removed: {'; '.join(left)}. {again}.")
    if problems:
        raise FailedError(*problems)


def _row(verdict: Verdict | None) -> tuple[str, str]:
    return (verdict.worth, ", ".join(verdict.compared)) if verdict is not None else ("not tried", "")


class _InterruptedError(FailedError):
    exit_code = 130  # as of a program that SIGINT ends
