"""Answers of the API for the phases of a night, with instants near the moment of asking."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.page.scripted_api import WORKSTATION, Status

PLACE = "203.0.113.9"
EVERYTHING = ["status", "start", "stop", "keep-awake"]


def instant(minutes: float, now: datetime | None = None) -> str:
    """The instant so many minutes from `now`, as the API writes it."""
    at = (now or datetime.now(UTC)) + timedelta(minutes=minutes)
    return at.isoformat(timespec="seconds").replace("+00:00", "Z")


def status(phase: str, **changes: Any) -> Status:
    """A body with nothing in it but the phase, and what a test adds."""
    return {
        "workstation": WORKSTATION,
        "name": "lab",
        "now": instant(0),
        "phase": phase,
        "headline": f"It is {phase}",
        "intent": None,
        "waiting_for": None,
        "hindered_since": None,
        "blocked": None,
        "verdict": None,
        "warned_at": None,
        "keep_awake_until": None,
        "keep_awake_for": 3600.0,
        "undo_until": None,
        "usual_seconds": None,
        "wake": None,
        "steps": [],
        "jupyter_url": None,
        "jupyter": None,
        "address": None,
        "ssh_user": "ubuntu",
        "cost": {"now": 3.2, "awake": 14.1},
        "billed": "",
        "problems": [],
        "told": [],
        "scopes": EVERYTHING,
        **changes,
    }


def asleep(**changes: Any) -> Status:
    """Shelved a good half hour ago."""
    steps = [
        {"at": instant(-40), "text": "asked EC2 to stop the instance"},
        {"at": instant(-38.4), "text": "took snapshots of 2 volumes"},
        {"at": instant(-31.2), "text": "deleted 2 volumes, kept as snapshots"},
    ]
    intent = {
        "number": 7, "wanted": "shelve", "by": "idle", "at": instant(-40), "why": "idle for 30 minutes",
        "settled_at": instant(-31),
    }  # fmt: skip
    headline = "Asleep since 18:31 UTC: idle for 30 minutes"
    return status("asleep", **{"headline": headline, "steps": steps, "intent": intent, **changes})


def waking(**changes: Any) -> Status:
    """Volumes are coming back."""
    steps = [
        {"at": instant(-0.4), "text": "asked for 2 volumes from the snapshots of cycle 12"},
        {"at": instant(-0.2), "text": "attached /dev/xvda and /dev/sdf"},
        {"at": instant(-0.1), "text": "asked EC2 to start the instance"},
    ]
    intent = {
        "number": 8, "wanted": "run", "by": "owner", "at": instant(-0.5), "why": "the link “phone” asked for it",
        "settled_at": None,
    }  # fmt: skip
    moving = {"headline": "Waking: the instance is starting", "waiting_for": "the instance to pass its checks"}
    return status("waking", **{**moving, "steps": steps, "intent": intent, **changes})


def falling_asleep(**changes: Any) -> Status:
    """Snapshots are under way."""
    moving = {"headline": "Falling asleep: idle for 30 minutes", "waiting_for": "snapshots: 40 %"}
    steps = [{"at": instant(-2), "text": "asked EC2 to stop the instance"}]
    intent = {
        "number": 7, "wanted": "shelve", "by": "idle", "at": instant(-2), "why": "idle for 30 minutes",
        "settled_at": None,
    }  # fmt: skip
    return status("falling-asleep", **{**moving, "steps": steps, "intent": intent, **changes})


def stopping(**changes: Any) -> Status:
    """Its owner has just asked for it, and may turn it back."""
    intent = falling_asleep()["intent"] | {"wanted": "stop", "by": "owner", "at": instant(-0.02)}
    # Not ten seconds, which a busy machine may take from here to the page.
    held = {"undo_until": instant(0.9), "waiting_for": "its owner may still turn the stop back"}
    return falling_asleep(**{**held, "intent": intent, **changes})


def awake(**changes: Any) -> Status:
    """Up, in use, and Jupyter answers."""
    verdict = {
        "kind": "active", "since": None, "at": instant(-2), "due_at": None, "stop_at": None, "stop_cause": None,
        "reasons": ["1.42 cores in use (above 0.20)", "kernel of train.ipynb is busy"],
        "signals": [
            {"name": "processor", "effect": "work", "value": "1.42 cores", "threshold": "0.25 cores", "at": None},
            {"name": "keyboard", "effect": "recent", "value": "at 18:20 UTC", "threshold": "", "at": instant(-14)},
            {"name": "tabs", "effect": "weak", "value": "1", "threshold": "at most 30 min more", "at": None},
        ],
    }  # fmt: skip
    lab = {"url": "https://203.0.113.9:8888/lab", "port": 8888, "reach": "open"}
    up = {"headline": "Awake since 08:55 UTC", "jupyter": lab, "verdict": verdict}
    return status("awake", **{**up, "cost": {"now": 14.1, "awake": 14.1}, **changes})


def idle(minutes_left: float, **changes: Any) -> Status:
    """Up and idle: sleeps in so many minutes."""
    verdict = {
        "kind": "idle", "since": instant(minutes_left - 30), "at": instant(-1), "due_at": None,
        "stop_at": instant(minutes_left), "stop_cause": "idle",
        "reasons": ["0.03 cores in use (below 0.20)", "no kernel is busy", "last keystroke 24 minutes ago"],
    }  # fmt: skip
    return awake(**{"verdict": verdict, **changes})


def blocked(**changes: Any) -> Status:
    """Something only a person can mend."""
    reason = (
        "AWS has no t3.large free in eu-central-1a right now. Press Start again later, "
        "or add other instance types to autostop:instance-types."
    )
    return status("blocked", **{"headline": "Blocked while waking: no capacity", "blocked": reason, **changes})
