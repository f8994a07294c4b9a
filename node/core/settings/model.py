"""All keys of the configuration with their types and defaults. To add a key, add a field here."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    model_validator,
)

from node.core.settings.contradictions import DICOM_PORT, contradictions
from node.core.settings.convert import ConvertSettings
from node.core.settings.deliver import TargetSettings
from node.core.settings.expect import ExpectSettings
from node.core.settings.fetch import FetchSettings
from node.core.settings.host_names import (
    check_certificate,
    check_host,
    check_host_or_network,
)
from node.core.settings.http import Http
from node.core.settings.output_rules import RulesSettings
from node.core.settings.passcodes import check_hash

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGTP]i?)?B?\s*", re.IGNORECASE)
_FACTORS = {
    unit + suffix: base**power
    for power, unit in enumerate(["", "k", "m", "g", "t", "p"])
    for suffix, base in (("", 1000), ("i", 1024))
    if unit or not suffix
}


def parse_size(value: object) -> object:
    """Return bytes for a number or a text such as `500 MiB`, `1GiB`, `2 GB`.

    Examples:
        >>> parse_size("1.5 KiB"), parse_size("2 kB")
        (1536, 2000)
    """
    if not isinstance(value, str):
        return value
    match = _SIZE.fullmatch(value)
    if not match:
        raise ValueError("a size such as 500 MiB or 1GiB")
    return int(float(match[1]) * _FACTORS[(match[2] or "").lower()])


def _ae_title(value: str) -> str:
    stripped = value.strip()
    if not 0 < len(stripped) <= 16 or not stripped.isascii() or not stripped.isprintable():
        raise ValueError("an AE title has 1 to 16 printable ASCII characters (PS3.5 6.2)")
    if "\\" in stripped:
        raise ValueError("an AE title has no backslash (PS3.5 6.2)")
    return stripped


Size = Annotated[int, BeforeValidator(parse_size), Field(ge=0)]
AETitle = Annotated[str, AfterValidator(_ae_title)]
Host = Annotated[str, AfterValidator(check_host)]
PasscodeHash = Annotated[str, AfterValidator(check_hash)]
HostOrNetwork = Annotated[str, AfterValidator(check_host_or_network)]
CertificateOfPeer = Annotated[str, AfterValidator(check_certificate)]
Port = Annotated[int, Field(ge=0, le=65535)]  # 0: any free port
Seconds = Annotated[float, Field(ge=0)]
Permission = Literal["store", "find", "move", "get", "commit"]


class Strict(BaseModel):
    """A section in which unknown keys are errors: a typo must not silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class TLS(Strict):
    """TLS for the DICOM port, after the BCP 195 profiles of PS3.15 B.9 and later."""

    certificate: Path
    key: Path
    ca: Path | None = None
    require_client_certificate: bool = False


class PeerSettings(Strict):
    """A DICOM peer: its address and its permissions.

    Attributes:
        certificate: identifies the peer when it connects and when we connect to it: the SHA-256
            fingerprint, as hexadecimal digits in lower case, or a name of its Subject Alternative
            Name. None: the peer is identified by its host.
        fetch: how `rasnode pull` may fetch from it.
    """

    name: str
    ae_title: AETitle
    host: HostOrNetwork
    port: Port = 104
    may: tuple[Permission, ...] = ("store", "find", "move", "get", "commit")
    query_back: bool = False
    tls: bool = False
    certificate: CertificateOfPeer | None = None
    fetch: FetchSettings = FetchSettings()


class Identity(Strict):
    """Users who may connect, by User Identity Negotiation (PS3.7 D.3.3.7).

    Attributes:
        users: name -> hash of the passcode, as `rasnode passcode` prints it; empty if no passcode
            is needed.
    """

    required: bool = True
    users: dict[str, PasscodeHash] = {}


class Dicom(Strict):
    """The DICOM port."""

    ae_title: AETitle = "RASNODE"
    ae_titles: tuple[AETitle, ...] = ()
    host: Host = "0.0.0.0"  # noqa: S104  a destination listens for its senders
    port: Port = DICOM_PORT
    accept: Literal["any", "known"] = "any"
    check_called_ae: bool = False
    empty_matches: bool = True
    processes: Annotated[int, Field(ge=1, le=64)] = 1
    max_associations: Annotated[int, Field(ge=1)] = 64
    tls: TLS | None = None
    identity: Identity | None = None
    peers: tuple[PeerSettings, ...] = ()

    @property
    def called_titles(self) -> tuple[str, ...]:
        """Every AE title that the node is called by."""
        return (self.ae_title, *self.ae_titles)

    @model_validator(mode="after")
    def _titles_differ(self) -> Dicom:
        twice = [one for one, count in Counter(self.called_titles).items() if count > 1]
        if twice:
            raise ValueError(
                f"ae_title and ae_titles have {twice[0]!r} twice; each title may be there once"
            )
        return self


class Retention(Strict):
    """How long the archive keeps instances of series that are assembled and delivered."""

    days: Annotated[float, Field(gt=0)] | None = None
    max_size: Size | None = None

    @model_validator(mode="after")
    def _says_when(self) -> Retention:
        if self.days is None and self.max_size is None:
            raise ValueError("set days, max_size or both: when instances may be removed")
        return self


class QuarantineSettings(Strict):
    """How much of the refused data is kept.

    Attributes:
        per_peer: bytes kept of each sender.
        days: refused data are removed after this many days; None: never by age.
    """

    per_peer: Size = 1024**3
    days: Annotated[float, Field(gt=0)] | None = 30.0


class ConflictSettings(Strict):
    """How many other versions of archived instances are accepted.

    Attributes:
        per_peer: bytes accepted from each sender.
    """

    per_peer: Size = 1024**3


class Storage(Strict):
    """Where everything is kept."""

    root: Path = Path("data")
    minimum_free: Size = 1024**3
    retention: Retention | None = None
    quarantine: QuarantineSettings = QuarantineSettings()
    conflicts: ConflictSettings = ConflictSettings()
    verify_days: Annotated[float, Field(gt=0)] | None = 30.0


class Database(Strict):
    """The index. None: SQLite below `storage.root`."""

    url: str | None = None


class Completion(Strict):
    """When a series counts as complete."""

    quiet_seconds: Seconds | Literal["learned"] = 5.0
    open_quiet_seconds: Seconds = 60.0
    study_quiet_seconds: Seconds = 60.0
    incomplete: Literal["hold", "convert", "fail"] = "hold"


class ClusterTLS(Strict):
    """TLS between the node and a Dask cluster; both sides must show a certificate."""

    certificate: Path
    key: Path
    ca: Path


class AssemblySettings(Strict):
    """How volumes are built."""

    workers: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    worker_memory: Size | Literal["auto"] | None = "auto"
    executor: Annotated[str, Field(pattern=r"^(local|dask://[^/\s]+)$")] = "local"
    tls: ClusterTLS | None = None
    resample_tilt: bool = False
    resample_unequal: bool = False


class Output(Strict):
    """What is written for each volume."""

    name: str = "{StudyInstanceUID}/{SeriesNumber:04d}_{Modality}_{SeriesDescription}"
    rules: RulesSettings = ()
    compress: bool = True
    sidecar: bool = True
    identifiers: bool = False
    preview: bool = True
    quality: bool = True

    @property
    def templates(self) -> list[str]:
        """Every template that names may be made of."""
        rules = [one.rule() for one in self.rules]
        parts = [part for one in rules for part in (one.name, one.participant if one.use else "")]
        return [self.name, *filter(None, parts)]


class Log(Strict):
    """The form of the log."""

    format: Literal["text", "json"] = "text"


VALUES_ALONE: Final = object()
"""Context of `Settings.model_validate` that leaves out contradictions between values."""


class Settings(Strict):
    """All settings; the defaults work on an empty machine."""

    dicom: Dicom = Dicom()
    storage: Storage = Storage()
    database: Database = Database()
    completion: Completion = Completion()
    assembly: AssemblySettings = AssemblySettings()
    output: Output = Output()
    convert: ConvertSettings = ConvertSettings()
    deliver: tuple[TargetSettings, ...] = ()
    expect: tuple[ExpectSettings, ...] = ()
    http: Http = Http()
    log: Log = Log()
    shutdown_seconds: Seconds = 30.0

    @model_validator(mode="after")
    def _fits_together(self, info: ValidationInfo) -> Settings:
        if info.context is not VALUES_ALONE:
            found = [sentence for _, sentence in contradictions(self.model_dump())]
            if found:
                raise ValueError("; ".join(found))
        return self

    def database_url(self) -> str:
        """The SQLAlchemy URL of the index."""
        if self.database.url:
            return self.database.url
        return f"sqlite:///{self.storage.root / 'index.db'}"
