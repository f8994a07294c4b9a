"""What is touched of pynetdicom beyond its promises is as it was when that was written."""

from __future__ import annotations

import hashlib
import inspect

import pynetdicom
import pytest
from pynetdicom import acse, association, dul, fsm, transport

from node.dimse.upper_layer.acceptor import MADE_FOR, usable

TOUCHED = {
    association.Association.__init__: "eb07516b8009ad8f",
    association.Association.kill: "8f9713666a7f4cff",
    association.Association.run_reactor: "ed8bbbe3b3d6ddae",
    association.Association._run_reactor: "f28838c5559e462a",
    association.Association._serve_request: "2f24c1759cdf6c8c",
    acse.ACSE._negotiate_as_acceptor: "fffd360957c42a8e",
    acse.ACSE.is_aborted: "ad2eb3f545a9ed05",
    acse.ACSE.is_release_requested: "894b33d21a8dec8e",
    acse.ACSE.send_release: "28eaf9df836ca88f",
    dul.DULServiceProvider.__init__: "c82dafa9438ddf70",
    dul.DULServiceProvider._decode_pdu: "fc71dd1bf853e1ce",
    dul.DULServiceProvider._process_recv_primitive: "4c0ebbb3e646e35e",
    dul.DULServiceProvider._read_pdu_data: "19f2d4e38c13c835",
    dul.DULServiceProvider.run_reactor: "e3a10eb3a0931e48",
    dul.DULServiceProvider.stop_dul: "28a7e0be126e7b30",
    dul.DULServiceProvider.receive_pdu: "fa67339834ca998c",
    fsm.AE_5: "35e8617fcc8d3186",
    fsm.AE_6: "385d595ed49432af",
    fsm.AE_7: "c62284735836c78a",
    fsm.StateMachine.do_action: "9a883f44c7f31641",
    transport.AssociationSocket.__init__: "1f0325fdef2cc353",
    transport.AssociationSocket.close: "c726c8db53813d55",
    transport.AssociationSocket._shutdown_socket: "e2b2628faa81a578",
    transport.RequestHandler._create_association: "05c8d12b79863cdb",
}


def test_pynetdicom_is_a_version_that_is_known() -> None:
    assert pynetdicom.__version__ in MADE_FOR, "read docs/adr/0005, run all tests, and add it"
    assert usable()


def test_any_other_is_left_to_serve_its_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pynetdicom, "__version__", "99.0.0")
    assert not usable()


@pytest.mark.parametrize("touched", TOUCHED, ids=lambda one: one.__qualname__)
def test_what_is_overridden_or_called_has_not_changed(touched: object) -> None:
    assert fingerprint(touched) == TOUCHED[touched], (
        "compare with node/dimse/upper_layer/acceptor.py"
    )


def fingerprint(touched: object) -> str:
    """Of the source of a function."""
    return hashlib.sha256(inspect.getsource(touched).encode()).hexdigest()[:16]
