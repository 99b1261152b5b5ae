"""The EBS direct APIs, as far as they tell which blocks of two snapshots differ.

A snapshot here is a directory, so a file stands for a block: its index is its place among the names in both snapshots.
"""

import filecmp
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autostop_local.world.cloud import Cloud, Params, Reply
from autostop_local.world.errors import AwsError
from autostop_local.world.resources import Snapshot

_PATH = re.compile(r"/snapshots/(?P<second>[^/]+)/changedblocks")
_BLOCK = 524288  # bytes
_A_PAGE = 100  # blocks looked at for one page, changed or not: a page can be empty and not the last


def changed_blocks_asked(path: str, query: Mapping[str, str]) -> dict[str, Any] | None:
    """The parameters of ListChangedBlocks from its URL; None for another operation."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    asked = {"SecondSnapshotId": found["second"], "FirstSnapshotId": query.get("firstSnapshotId", "")}
    return asked | ({"NextToken": query["pageToken"]} if "pageToken" in query else {})


class DirectBlocks:
    """The calls of the service `ebs`, by AWS's names in `operations`."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        # Whether AWS compares a volume's snapshot with one of a volume that was made from it: nobody has seen it here.
        self.by_lineage = True
        self.operations: dict[str, Callable[[Params], Reply]] = {"ListChangedBlocks": self.list_changed_blocks}

    def list_changed_blocks(self, params: Params) -> Reply:
        first, second = self._snapshot(params["FirstSnapshotId"]), self._snapshot(params["SecondSnapshotId"])
        if not self._are_related(first, second):
            raise AwsError("ValidationException", "The snapshots are not related", reason="UNRELATED_SNAPSHOTS")
        roots = self._cloud.content.snapshot(first.id), self._cloud.content.snapshot(second.id)
        names = sorted(_files(roots[0]) | _files(roots[1]))
        begin = int(params.get("NextToken") or 0)
        changed = [
            {"BlockIndex": index}
            for index, name in enumerate(names[begin : begin + _A_PAGE], begin)
            if not _same(roots[0] / name, roots[1] / name)
        ]
        more = begin + _A_PAGE < len(names)
        return {
            "ChangedBlocks": changed,
            "VolumeSize": second.volume_size,
            "BlockSize": _BLOCK,
            "NextToken": str(begin + _A_PAGE) if more else None,
        }

    def _snapshot(self, snapshot_id: str) -> Snapshot:
        snapshot = self._cloud.snapshots.get(snapshot_id)
        if snapshot is None or snapshot.state != "completed":
            raise AwsError("ResourceNotFoundException", f"The snapshot {snapshot_id} does not exist", 404)
        return snapshot

    def _are_related(self, first: Snapshot, second: Snapshot) -> bool:
        if first.volume_id == second.volume_id:
            return True
        volume = self._cloud.volumes.get(second.volume_id)
        return self.by_lineage and volume is not None and volume.snapshot_id == first.id


def _files(root: Path) -> set[str]:
    return {str(Path(folder, name).relative_to(root)) for folder, _, names in os.walk(root) for name in names}


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)
