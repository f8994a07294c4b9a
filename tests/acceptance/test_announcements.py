"""What scanners say of a series ends its waiting: MPPS, Instance Availability, commitment."""

from __future__ import annotations

import json
from pathlib import Path

from pydicom import Dataset, dcmread
from pynetdicom.dsutils import encode

from node.dimse.upper_layer.pdus import Proposal
from node.dimse.upper_layer.requestor import Destination, Requestor
from tests.running import RunningNode, eventually
from tests.small import small_ct

IMPLICIT = "1.2.840.10008.1.2"
MPPS = "1.2.840.10008.3.1.2.3.3"
IAN = "1.2.840.10008.5.1.4.33"
COMMITMENT = "1.2.840.10008.1.20.1"
WELL_KNOWN = "1.2.840.10008.1.20.1.1"
N_SET, N_ACTION, N_CREATE = 0x0120, 0x0130, 0x0140


def references(paths: list[Path]) -> list[Dataset]:
    found = []
    for path in paths:
        image, item = dcmread(path, stop_before_pixels=True), Dataset()
        item.ReferencedSOPClassUID = image.SOPClassUID
        item.ReferencedSOPInstanceUID = image.SOPInstanceUID
        found.append(item)
    return found


def series_of(paths: list[Path]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID = dcmread(paths[0], stop_before_pixels=True).SeriesInstanceUID
    return item


def step(status: str, paths: list[Path]) -> Dataset:
    series, made = series_of(paths), Dataset()
    series.ReferencedImageSequence = references(paths)
    made.PerformedProcedureStepStatus = status
    made.PerformedSeriesSequence = [series]
    return made


def availability(paths: list[Path]) -> Dataset:
    series, made = series_of(paths), Dataset()
    series.ReferencedSOPSequence = references(paths)
    made.StudyInstanceUID = dcmread(paths[0], stop_before_pixels=True).StudyInstanceUID
    made.ReferencedSeriesSequence = [series]
    return made


def commitment(paths: list[Path]) -> Dataset:
    made = Dataset()
    made.TransactionUID = "1.2.3.4"
    made.ReferencedSOPSequence = references(paths)
    return made


def say(node: RunningNode, sop_class: str, kind: int, uid: str, said: Dataset) -> None:
    """One message of a scanner, in an association of its own."""
    role = "Affected" if kind == N_CREATE else "Requested"
    command: dict[str, str | int] = {
        f"{role}SOPClassUID": sop_class,
        f"{role}SOPInstanceUID": uid,
        "CommandField": kind,
    }
    if kind == N_ACTION:
        command["ActionTypeID"] = 1
    where = Destination("127.0.0.1", node.port, "RASNODE", "SCANNER")
    with Requestor(where, [Proposal(sop_class, (IMPLICIT,))]) as scanner:
        (context,) = scanner.contexts(sop_class).values()
        message = scanner.request(context, command, encode(said, True, True))
        assert scanner.response(message).command["Status"] == 0


def test_lists_of_scanners_are_proof_and_name_what_is_missing(tmp_path: Path) -> None:
    """With a quiet time that no test waits for; the scanner is known, to be asked for reports."""
    peer = {"name": "ct", "ae_title": "SCANNER", "host": "127.0.0.1", "port": 9}
    settings = {"completion": {"quiet_seconds": 300}, "dicom": {"peers": [peer]}}
    node = RunningNode(tmp_path, settings).start()
    by_step, by_notice, by_request = (
        small_ct(tmp_path / name, 4, announced=False, description=name)
        for name in ("step", "notice", "request")
    )

    def found() -> dict[str, dict[str, object]]:
        return {str(one["description"]): one for one in node.series()}

    def ready() -> set[str]:
        return {name for name, one in found().items() if one["state"] == "ready"}

    try:
        say(node, MPPS, N_CREATE, "1.6.1", step("IN PROGRESS", by_step[:1]))
        node.send(*by_step[:3], *by_notice, *by_request)
        assert ready() == set()
        say(node, MPPS, N_SET, "1.6.1", step("COMPLETED", by_step))
        say(node, IAN, N_CREATE, "1.6.2", availability(by_notice))
        say(node, COMMITMENT, N_ACTION, WELL_KNOWN, commitment(by_request))
        eventually(lambda: ready() == {"notice", "request"}, 60, "two lists are proof")

        missing = references(by_step)[3].ReferencedSOPInstanceUID
        waiting = found()["step"]
        assert (waiting["state"], waiting["verdict"]) == ("receiving", "incomplete")
        assert missing in json.dumps(waiting["evidence"])
        assert "at 7.5 mm" in json.dumps(waiting["evidence"])
        node.send(by_step[3])
        eventually(lambda: len(ready()) == 3, 60, "the third list is proof as well")
        assert {one["verdict"] for one in found().values()} == {"complete"}
    finally:
        node.kill()
