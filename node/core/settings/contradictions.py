"""Contradictions: values of the configuration that are valid by themselves and not together.

They are looked for in the values as written, so that an invalid value hides none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

from node.core.output_rules import wrong_comparison, wrong_key
from node.core.settings.host_names import is_loopback

Location = tuple[int | str, ...]
"""Place of a value: keys, and indices of list items."""

DICOM_PORT: Final = 11112
PAGE_PORT: Final = 8080
_EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104


def contradictions(values: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield each contradiction: its place, and a sentence."""
    peers = _list(_section(values, "dicom").get("peers"))
    targets = _list(values.get("deliver"))
    yield from _twice(("dicom", "peers"), peers)
    yield from _twice(("deliver",), targets)
    names = [name for peer in peers if isinstance(name := _section_of(peer).get("name"), str)]
    for number, target in enumerate(targets):
        yield from _unknown_peers(number, _section_of(target), names)
        if _section(values, "http").get("auth") is None:
            yield from _no_links(number, _section_of(target))
    yield from _one_port(_section(values, "dicom"), _section(values, "http"))
    yield from _open_page(_section(values, "http"))
    tls = _section(_section(values, "dicom"), "tls")
    if tls.get("require_client_certificate") in (True, "true") and tls.get("ca") is None:
        yield (
            ("dicom", "tls", "require_client_certificate"),
            "dicom.tls.require_client_certificate needs dicom.tls.ca: "
            "the certificate authority that signs the certificates of peers",
        )
    for number, peer in enumerate(peers):
        yield from _unchecked(number, _section_of(peer), tls)
    yield from _rules(_section(values, "output"))


def _unknown_peers(
    number: int, target: Mapping[str, Any], names: list[str]
) -> Iterator[tuple[Location, str]]:
    """Peers that something is to be sent to and that are not in the configuration."""
    results = _section(_section(target, "command"), "results")
    known = ", ".join(names) or "none is there"
    for wanted, keys, does in (
        (_section(target, "forward").get("peer"), ("forward", "peer"), "forwards"),
        (results.get("send"), ("command", "results", "send"), "sends results"),
    ):
        if isinstance(wanted, str) and wanted not in names:
            yield (
                ("deliver", number, *keys),
                f"deliver {target.get('name')!r} {does} to the peer {wanted!r}, "
                f"which is not in dicom.peers ({known})",
            )


def _no_links(number: int, target: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Links to instances, which the page does not hand out without a login."""
    for way in ("webhook", "command"):
        links = _section(_section(target, way), "payload").get("links")
        if links in (True, "true"):
            yield (
                ("deliver", number, way, "payload", "links"),
                f"deliver {target.get('name')!r} wants links to instances, which nobody can open "
                "without a login: set http.auth, or let the program read the archive's paths",
            )


def _unchecked(
    number: int, peer: Mapping[str, Any], tls: Mapping[str, Any]
) -> Iterator[tuple[Location, str]]:
    """Yield a certificate of a peer that is never checked, as a connection goes without TLS."""
    if peer.get("certificate") is None:
        return
    lacking = [] if peer.get("tls") in (True, "true") else ["tls: true at the same peer"]
    if tls.get("ca") is None:
        lacking.append("dicom.tls with a ca: the authority that signs the certificates of peers")
    if lacking:
        yield (
            ("dicom", "peers", number, "certificate"),
            f"dicom.peers {peer.get('name')!r} has a certificate, which needs "
            f"{' and '.join(lacking)}",
        )


def _rules(output: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """Yield conditions of rules that no volume can be compared with, and what needs identifiers."""
    stated = output.get("rules")
    rules = [stated] if isinstance(stated, str) else _list(stated)
    for number, rule in enumerate(rules):
        place: Location = ("output", "rules")
        place = place if isinstance(stated, str) else (*place, number)
        uses = rule if isinstance(rule, str) else _section_of(rule).get("use")
        chosen = _section_of(rule).get("participant")
        if uses and chosen is None and output.get("identifiers") not in (True, "true"):
            yield (
                place,
                f"output.rules uses {uses}, whose names contain the PatientID; say so with "
                f"{{use: {uses}, participant: '{{PatientID}}'}}, choose another attribute, or set "
                "output.identifiers: true",
            )
        for part in ("when", "unless"):
            for key, patterns in _section_of(_section_of(rule).get(part)).items():
                where = (*place, part, str(key))
                if wrong := wrong_key(str(key)):
                    yield where, f"output.rules: {wrong}"
                for pattern in patterns if isinstance(patterns, list | tuple) else [patterns]:
                    if wrong := wrong_comparison(str(pattern)):
                        yield where, f"output.rules: {key}: {wrong}"


def _twice(location: Location, entries: list[Any]) -> Iterator[tuple[Location, str]]:
    seen = set()
    for number, entry in enumerate(entries):
        name = _section_of(entry).get("name")
        if not isinstance(name, str):
            continue
        if name in seen:
            key = ".".join(map(str, location))
            yield (*location, number, "name"), f"{key} has {name!r} twice; names must differ"
        seen.add(name)


def _one_port(dicom: Mapping[str, Any], http: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    ports = (_number(dicom.get("port", DICOM_PORT)), _number(http.get("port", PAGE_PORT)))
    hosts = {dicom.get("host", "0.0.0.0"), http.get("host", "127.0.0.1")}  # noqa: S104
    if ports[0] and ports[0] == ports[1] and (len(hosts) == 1 or hosts & _EVERY_ADDRESS):
        text = f"dicom.port and http.port are both {ports[0]}; give the page another one, or null"
        yield ("http", "port") if "port" in http else ("dicom", "port"), text


def _open_page(http: Mapping[str, Any]) -> Iterator[tuple[Location, str]]:
    """A page that others reach and that asks nobody to log in."""
    host = http.get("host", "127.0.0.1")
    if http.get("auth") is not None or not isinstance(host, str) or is_loopback(host):
        return
    if "port" in http and http["port"] in (None, "null", ""):
        return
    yield (
        ("http", "host"),
        f"http.host {host} lets other machines reach the page, which asks nobody to log in: set "
        "http.auth, or a loopback host (127.0.0.1) behind a proxy that asks them",
    )


def _number(value: Any) -> int | None:
    with suppress(TypeError, ValueError):
        return int(value)
    return None


def _section(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return _section_of(values.get(name))


def _section_of(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else []
