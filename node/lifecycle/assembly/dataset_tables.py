"""Keeps the tables and descriptions of BIDS datasets in the output folder."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from node.convert.naming.bids import write_dataset_files
from node.convert.naming.bids_tables import NOT_KNOWN, UnreadableTable, updated
from node.convert.naming.siblings import dataset_root
from node.core.system.disk import make_folder
from node.deliver.published_files import FILE_MODE
from node.lifecycle.assembly.output_folder import OutputFolder, PublishingDelayed

log = logging.getLogger(__name__)


class DatasetTables:
    """Adds rows for what is published; a person may add columns and values.

    Args:
        output_folder: has the datasets.
        dates: whether scans have the time of their acquisition.
    """

    def __init__(self, output_folder: OutputFolder, *, dates: bool) -> None:
        self._output_folder = output_folder
        self._dates = dates

    def changed(
        self,
        scope: str,
        published: Mapping[str, str],
        renamed: Mapping[str, str],
        removed: Sequence[str] = (),
    ) -> None:
        """Bring the tables of a participant's session up to date.

        Args:
            scope: folders of the participant and session.
            published: name of an image, with folders -> when its acquisition began, in ISO 8601;
                empty if not known.
            renamed: old name -> new name.
            removed: names of images that are not there any more.

        Raises:
            PublishingDelayed: a table cannot be written now.
        """
        if not scope:
            return
        root = dataset_root(scope)
        parts = scope.removeprefix(root).strip("/").split("/")
        subject, session = parts[0], parts[1] if len(parts) > 1 else ""
        inside = len(scope) + 1
        scans: dict[str, dict[str, str]] = {
            name[inside:]: {"acq_time": time or NOT_KNOWN} if self._dates else {}
            for name, time in published.items()
        }
        renames = {old[inside:]: new[inside:] for old, new in renamed.items()}
        gone = [name[inside:] for name in removed]
        try:
            if published:
                folder = self._output_folder.folder(root)
                make_folder(folder, below=self._output_folder.folder(""))
                write_dataset_files(folder)
                table = "participants.tsv"
                self._update(f"{root}/{table}", "participant_id", {subject: {}})
                if session:
                    table = f"{subject}/{subject}_sessions.tsv"
                    self._update(f"{root}/{table}", "session_id", {session: {}})
            stem = f"{subject}_{session}" if session else subject
            self._update(f"{scope}/{stem}_scans.tsv", "filename", scans, renames, gone)
        except OSError as error:
            raise PublishingDelayed(
                f"the tables of the dataset cannot be written: {error.strerror or error}"
            ) from error

    def _update(self, name: str, key: str, added: Mapping[str, Any], *changes: Any) -> None:
        path = self._output_folder.folder(name.strip("/"))
        before = path.read_text("utf-8") if path.is_file() else ""
        if not before and not added:
            return
        try:
            after = updated(before, key, added, *changes)
        except UnreadableTable as error:
            log.warning("%s stays as it is: %s; add the column again", name, error)
            return
        if after != before:
            _write(path, self._output_folder.staged(f"table-{os.getpid()}.tsv"), after)


def _write(path: Path, temporary: Path, text: str) -> None:
    """Replace a file at once, so that no reader sees a part of it."""
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, FILE_MODE)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
