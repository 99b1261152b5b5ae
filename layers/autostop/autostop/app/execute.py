"""Carry one step out: make its call, and keep what must be known of it afterwards."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from autostop.model import Instance, Observation, WorkstationId
from autostop.ports import DeniedError, Disks, Happened, Instances, Ledger, NoCapacityError, State
from autostop.sleep.capacity import own_type
from autostop.sleep.intent import Intent, following
from autostop.sleep.manifest import Manifest
from autostop.sleep.steps import (
    AttachVolume,
    ChangeIntent,
    ChangeType,
    CreateSnapshots,
    CreateVolume,
    DeleteFailedSnapshot,
    DeleteFailedVolume,
    DeleteSnapshot,
    DeleteVolume,
    DetachVolume,
    NoteFailedVolume,
    NoteNoCapacity,
    NoteType,
    SetDeleteOnTermination,
    StartInstance,
    Step,
    StopInstance,
    TagSnapshot,
    WriteManifest,
)
from autostop.tags import DEVICE


@dataclass(frozen=True, slots=True)
class Actor:
    """Carries out the steps of one workstation after the other. `clock` gives aware UTC moments."""

    instances: Instances
    disks: Disks
    ledger: Ledger
    clock: Callable[[], datetime]

    def take(self, state: State, intent: Intent, seen: Observation, step: Step) -> None:
        """Take a step. Raises TransientError, DeniedError, ConflictError."""
        before, now = state, self.clock()
        # A step that succeeds is progress, whatever went wrong before it.
        state = replace(state, tried=replace(state.tried, errors=0))
        match step:
            case ChangeIntent(wanted, by, why):
                self.ledger.save(state.wanting(following(intent, wanted, by, why, now)))
                said = why
            case WriteManifest(manifest, why):
                self.ledger.save(replace(state, manifest=manifest))
                said = f"cycle {manifest.cycle}: wrote down {len(manifest.volumes)} volumes ({why})"
            case CreateSnapshots(manifest):
                self._create_snapshots(state, intent, manifest)
                return
            case CreateVolume(manifest, record):
                volume = self.disks.create(manifest, record)
                said = f"restoring {record.device} from {record.snapshot} as {volume}"
                self._record(state, intent, said)
                self.ledger.save(replace(state, tried=state.tried.restoring(record.device, volume, now)))
                return
            case NoteFailedVolume(manifest, device, volume, why):
                self.ledger.save(replace(state, manifest=manifest, tried=state.tried.failing(device, volume)))
                said = f"{volume} for {device} came to nothing: {why}"
            case NoteNoCapacity(type_):
                self.ledger.save(replace(state, tried=state.tried.lacking(type_, now)))
                said = f"EC2 had no capacity for {type_}"
            case DetachVolume() if state.manifest is not None:
                # Noted before the call: lists may go on to show it attached. And who tapped meanwhile keeps it.
                self.ledger.save(replace(state, manifest=state.manifest.detaching(now)))
                said = self._call(state.workstation, step)
            case StopInstance():
                # Who tapped since the state was read keeps it running.
                saved = self.ledger.save(replace(before, waiting_for="EC2 is asked to stop the instance"))
                said = self._call(state.workstation, step)
                if state != before:
                    self.ledger.save(replace(saved, tried=state.tried))
            case StartInstance() | NoteType() | ChangeType() if seen.instance is not None:
                said = self._start(state, seen.instance, step)
            case _:
                said = self._call(state.workstation, step)
                if state != before:
                    self.ledger.save(state)
        self._record(state, intent, said)

    def _create_snapshots(self, state: State, intent: Intent, manifest: Manifest) -> None:
        # Noted before the call: a set whose answer is lost may be listed late, and must not be made twice meanwhile.
        state = self.ledger.save(replace(state, manifest=manifest.asking(self.clock())))
        try:
            known = self.disks.create_snapshots(manifest)
        except DeniedError:
            self.ledger.save(replace(state, manifest=manifest.asking(None)))
            raise
        self._record(state, intent, f"cycle {manifest.cycle}: began {len(known)} snapshots")
        if state.manifest is not None:
            self.ledger.save(replace(state, manifest=state.manifest.with_snapshots(known)))

    def _start(self, state: State, instance: Instance, step: StartInstance | NoteType | ChangeType) -> str:
        """Start it, or come nearer to a start as another type; what is refused for a type leaves the others."""
        now, tried = self.clock(), state.tried
        try:
            match step:
                case StartInstance():
                    self.instances.start(state.workstation)
                    tried, said = tried.starting(instance.launched_at, now), "asked EC2 to start the instance"
                case NoteType(note):
                    self.instances.note_type(state.workstation, note)
                    own, _, other = note.partition(" ")
                    said = f"noted that {own} becomes {other} for now" if note else "noted that it is its own type"
                case ChangeType(type_, note):
                    if note:
                        # Once more: the list that showed it may have been an old one.
                        self.instances.note_type(state.workstation, note)
                    self.instances.change_type(state.workstation, type_)
                    said = f"changed its type to {type_}"
        except NoCapacityError:
            tried = tried.lacking(instance.type, now)
            said = f"EC2 has no capacity for {instance.type} in {instance.zone}"
        except DeniedError as error:
            refused = _type_meant(step, instance)
            if refused is None:
                raise
            tried, said = tried.refusing(refused, str(error)), f"{refused} is refused: {error}"
        if tried != state.tried:
            self.ledger.save(replace(state, tried=tried))
        return said

    def _call(self, workstation: WorkstationId, step: Step) -> str:
        """Make the step's one call; what was done, in words."""
        match step:
            case StopInstance():
                self.instances.stop(workstation)
                return "asked EC2 to stop the instance"
            case TagSnapshot(snapshot, tags):
                self.disks.tag_snapshot(snapshot, tags)
                return f"wrote the manifest of {tags[DEVICE]} on {snapshot}"
            case DetachVolume(volume, device):
                self.disks.detach(volume, workstation, device)
                return f"detaching {volume} from {device}"
            case DeleteVolume(volume, snapshot):
                self.disks.delete(volume)
                return f"deleted {volume}; {snapshot} holds its data"
            case DeleteFailedVolume(volume, why):
                self.disks.delete(volume)
                return f"deleted {volume}, which holds nothing: {why}"
            case AttachVolume(volume, device):
                self.disks.attach(volume, workstation, device)
                return f"attaching {volume} at {device}"
            case SetDeleteOnTermination(volume, device, flag):
                self.instances.set_delete_on_termination(workstation, device, volume, flag=flag)
                return f"{device} is {'deleted' if flag else 'kept'} on termination again"
            case DeleteSnapshot(snapshot, cycle):
                self.disks.delete_snapshot(snapshot)
                return f"deleted {snapshot} of cycle {cycle}, replaced by another"
            case DeleteFailedSnapshot(snapshot):
                self.disks.delete_snapshot(snapshot)
                return f"deleted {snapshot}, which failed and holds nothing"
            case (
                StartInstance()
                | NoteType()
                | ChangeType()
                | CreateVolume()
                | NoteNoCapacity()
                | NoteFailedVolume()
                | WriteManifest()
                | CreateSnapshots()
                | ChangeIntent()
            ):
                raise ValueError(f"{step} is not one call alone")
            case _:
                assert_never(step)

    def _record(self, state: State, intent: Intent, text: str) -> None:
        self.ledger.record(state.workstation, Happened(self.clock(), intent.number, text))


def _type_meant(step: StartInstance | NoteType | ChangeType, instance: Instance) -> str | None:
    """The type that a refusal of the step is about; None when it is no matter of another type."""
    match step:
        case StartInstance():
            return instance.type if own_type(instance) != instance.type else None
        case NoteType(note):
            return note.partition(" ")[2] or None
        case ChangeType(type_):
            return type_
