"""Damage of the journal: it is logged, noted in a file, and the damaged segment is copied.

`/health` and `doctor` report the notes until a person removes them.
"""

from __future__ import annotations

import json
import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from node.core.system.disk import ensure_folder, free_bytes, sync_folders, write_new

log = logging.getLogger(__name__)

FOLDER: Final = "damaged"  # below the journal's folder
_SEGMENTS: Final = 4  # copies of segments that are kept, the newest
_NOTES: Final = 100  # notes that are kept, the newest
_NAMED: Final = 20  # SOP Instance UIDs in a line of the log


class JournalDamage(NamedTuple):
    """A part of a partition that was written and cannot be read.

    Attributes:
        generation: of the segment.
        start: offset in the segment.
        end: offset behind the part; None if it is not known how many records there were.
        seen: for each damaged record that was recognised, its SOP Instance UID; empty where that
            cannot be read.
        view: of the segment; None if it is gone.
    """

    partition: int
    generation: int
    start: int
    end: int | None
    seen: tuple[str, ...]
    view: memoryview | None

    @property
    def name(self) -> str:
        """The name of its note; the same for the same damage."""
        return f"{self.partition:02d}-{self.generation:010d}-{self.start:08d}"

    def __str__(self) -> str:
        where = f"partition {self.partition}, segment {self.generation}"
        if self.end is None:
            return f"{where} is gone, and it is not known how many records were in it"
        what = f"{max(1, len(self.seen))} or more" if not self.seen else str(len(self.seen))
        records = f"{what} record{'' if what == '1' else 's'}"
        gone = "" if self.view is not None else ", which is gone"
        return f"{where}{gone}, bytes {self.start} to {self.end}: {records}"


class DamageNotes:
    """Notes of damage, as files in a folder below the journal's.

    Args:
        folder: the journal's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER

    def note(self, damage: JournalDamage) -> None:
        """Log damage, write its note and copy the segment; once for each damage."""
        if (self._folder / f"{damage.name}.json").exists():
            return
        uids = [uid for uid in damage.seen if uid]
        log.error(
            "the journal is damaged: %s cannot be read. They were answered 0x0000 and are not in "
            "the archive%s. Send them again; %s has the damaged segment",
            damage,
            f" (SOP Instances {', '.join(uids[:_NAMED])})" if uids else "",
            self._folder,
        )
        try:
            ensure_folder(self._folder)
            copied = self._copy_segment(damage)
            note = {
                "found": time.time(),
                "what": str(damage),
                "partition": damage.partition,
                "generation": damage.generation,
                "start": damage.start,
                "end": damage.end,
                "records": len(damage.seen) or None,
                "sop_instance_uids": uids,
                "segment": copied,
            }
            path = self._folder / f"{damage.name}.json"
            write_new(path, (json.dumps(note, indent=1).encode(),), durable=True)
            _keep_newest(self._folder, "*.json", _NOTES)
            sync_folders([self._folder.parent, self._folder])
        except OSError as error:
            log.error("the node cannot write the note of this damage: %s", error.strerror)

    def note_lost(self) -> None:
        """Log and note that the whole journal is gone."""
        what = "all of it is gone; if the node was stopped properly before, it was empty"
        log.error("the journal is damaged: %s", what)
        try:
            ensure_folder(self._folder)
            note = {"found": time.time(), "what": what}
            path = self._folder / f"gone-{time.time_ns()}.json"
            write_new(path, (json.dumps(note, indent=1).encode(),), durable=True)
        except OSError as error:
            log.error("the node cannot write the note of this damage: %s", error.strerror)

    def _copy_segment(self, damage: JournalDamage) -> str | None:
        """Copy the damaged segment, if there is room; returns the name of the copy."""
        view = damage.view
        name = f"{damage.partition:02d}-{damage.generation:010d}.seg"
        if view is None or not len(view):
            return None
        if (self._folder / name).exists():
            return name
        if free_bytes(self._folder) < 8 * len(view):
            return None
        write_new(self._folder / name, (view,), durable=True)
        _keep_newest(self._folder, "*.seg", _SEGMENTS)
        return name


def damages(folder: Path) -> list[str]:
    """Descriptions of the damage that is noted, oldest first.

    Args:
        folder: the journal's folder.
    """
    found = []
    for path in sorted((folder / FOLDER).glob("*.json")):
        try:
            found.append(str(json.loads(path.read_bytes())["what"]))
        except (OSError, ValueError, KeyError, TypeError):
            found.append(f"{path.name} cannot be read")
    return found


def damage_sentence(folder: Path) -> str | None:
    """What `/health` and `doctor` report as long as there are notes; None: there are none.

    Args:
        folder: the journal's folder.
    """
    found = damages(folder)
    if not found:
        return None
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return (
        f"instances that were answered 0x0000 were damaged in the journal and are not in the "
        f"archive: {found[0]}{more}. The log and {folder / FOLDER} say which; have them sent "
        "again, then remove that folder"
    )


def _keep_newest(folder: Path, pattern: str, most: int) -> None:
    files = sorted(folder.glob(pattern), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in files[most:]:
        with suppress(OSError):
            path.unlink()
