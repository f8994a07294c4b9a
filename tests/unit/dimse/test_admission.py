"""Who may associate."""

from __future__ import annotations

import hashlib

import pytest

from node.core.settings.model import Dicom
from node.dimse.upper_layer.access.admission import Admission
from node.dimse.upper_layer.access.name_resolution import Names
from node.dimse.upper_layer.associate_request import AssociateRequest, read_associate
from node.dimse.upper_layer.pdus import Proposal, associate_rq

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
PEER = {"name": "ct", "ae_title": "CT1", "host": "10.0.0.5", "port": 104}
STRICT = {
    "accept": "known",
    "peers": [PEER],
    "identity": {"required": True, "users": {"u": hashlib.sha256(b"p").hexdigest()}},
}


def asks(calling: str, *classes: str) -> AssociateRequest:
    encoded = associate_rq(
        calling,
        "RASNODE",
        [Proposal(uid, ("1.2.840.10008.1.2",)) for uid in classes],
        max_pdu=16384,
        implementation_class_uid="1.2.3",
        implementation_version_name="TEST",
    )
    return read_associate(encoded[6:])


def refused(request: AssociateRequest, address: str, **settings: object) -> str:
    dicom = Dicom.model_validate(settings)
    rejection = Admission(lambda: dicom, Names(lambda _name: ())).refusal(request, address)
    return rejection.sentence if rejection else ""


def test_the_node_itself_may_ask_whether_it_is_there_however_strict_it_is() -> None:
    assert refused(asks("RASNODE", VERIFICATION), "127.0.0.1", **STRICT) == ""
    assert refused(asks("RASNODE", VERIFICATION), "::1", **STRICT) == ""


@pytest.mark.parametrize(
    ("request_", "address"),
    [
        (asks("RASNODE", VERIFICATION), "10.0.0.5"),
        (asks("RASNODE", CT), "127.0.0.1"),
        (asks("RASNODE", VERIFICATION, CT), "127.0.0.1"),
        (asks("CT1", VERIFICATION), "127.0.0.1"),
    ],
)
def test_nobody_else_gets_in_that_way(request_: AssociateRequest, address: str) -> None:
    assert refused(request_, address, **STRICT)


def test_known_means_title_and_address() -> None:
    known = {"accept": "known", "peers": [PEER]}
    assert refused(asks("CT1", CT), "10.0.0.5", **known) == ""
    assert "AE title" in refused(asks("CT2", CT), "10.0.0.5", **known)
    assert "address" in refused(asks("CT1", CT), "10.0.0.6", **known)
    network = {**known, "peers": [{**PEER, "host": "10.0.0.0/24"}]}
    assert refused(asks("CT1", CT), "10.0.0.6", **network) == ""


def test_every_title_of_the_node_may_be_called() -> None:
    strict = {"check_called_ae": True, "ae_title": "PROJ_A"}
    assert "called an AE title" in refused(asks("CT1", CT), "10.0.0.5", **strict)
    more = {**strict, "ae_titles": ["PROJ_B", "RASNODE"]}
    assert refused(asks("CT1", CT), "10.0.0.5", **more) == ""


@pytest.mark.parametrize(
    ("titles", "why"),
    [
        (["RASNODE"], "twice"),
        (["A", "A"], "twice"),
        (["SEVENTEEN_LETTERS"], "16"),
        ([""], "AE title"),
    ],
)
def test_titles_are_valid_and_differ(titles: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Dicom.model_validate({"ae_titles": titles})
