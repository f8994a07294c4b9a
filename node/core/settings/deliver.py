"""`deliver:` in the settings: targets of deliveries, and the series that each gets."""

from __future__ import annotations

from pathlib import Path
from string import Formatter
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from node.core.conditions.conditions import Conditions
from node.core.conditions.settings import Patterns
from node.core.events import EventType, SeriesEvent
from node.core.settings.host_names import check_host

PLACEHOLDERS = (
    "event",
    "key",
    "series_instance_uid",
    "study_instance_uid",
    "revision",
    "state",
    "verdict",
    "folder",
    "image",
    "manifest",
)


Argument = Annotated[str, Field(max_length=4096)]


class Strict(BaseModel):
    """A section in which unknown keys are errors: a typo must not silently mean the default."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600)]
"""For one whole attempt."""


def _reachable(url: AnyHttpUrl) -> AnyHttpUrl:
    check_host((url.unicode_host() or "").strip("[]"))
    return url


class PayloadSettings(Strict):
    """What a payload says beyond what every payload says.

    Attributes:
        links: `instances` are URLs of the node's API, not paths in its archive.
    """

    links: bool = False


class WebhookSettings(Strict):
    """JSON by HTTP POST, signed if there is a secret (HMAC-SHA256)."""

    url: Annotated[AnyHttpUrl, AfterValidator(_reachable)]
    secret: Annotated[SecretStr, Field(min_length=16)] | None = None
    secret_file: Path | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=600)] = 10
    payload: PayloadSettings = PayloadSettings()

    @model_validator(mode="after")
    def _one_secret(self) -> WebhookSettings:
        if self.secret and self.secret_file:
            raise ValueError("a webhook has secret or secret_file, not both")
        return self


class ResultsSettings(Strict):
    """What becomes of the images that a command leaves in RASNODE_RESULTS.

    Attributes:
        kind: `as` in the file: the kind of object.
        send: the peer that gets them.
        algorithm: NAME,VERSION of what made them; None: the name of the entry.
        description: Series Description; None: named after the source series.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, populate_by_name=False, serialize_by_alias=True
    )

    kind: Literal["seg", "rtstruct", "map", "image", "capture"] = Field("seg", alias="as")
    send: str
    algorithm: Annotated[str, Field(pattern=r"^[^\\,]{1,64},[^\\]{1,64}$")] | None = None
    description: Annotated[str, Field(pattern=r"^[^\\]{1,64}$")] | None = None


class CommandSettings(Strict):
    """A program with arguments, started without a shell."""

    run: Annotated[tuple[Argument, ...], Field(min_length=1)]
    environment: dict[str, str] = {}
    timeout_seconds: Seconds = 600
    results: ResultsSettings | None = None
    payload: PayloadSettings = PayloadSettings()

    @model_validator(mode="after")
    def _placeholders_are_known(self) -> CommandSettings:
        for argument in self.run:
            for _, name, spec, conversion in Formatter().parse(argument):
                if name is not None and (name not in PLACEHOLDERS or spec or conversion):
                    names = ", ".join(f"{{{known}}}" for known in PLACEHOLDERS)
                    raise ValueError(f"in {argument!r} only {names} can be filled in")
        return self


class ForwardSettings(Strict):
    """The series' instances to a DICOM peer, by C-STORE."""

    peer: str
    timeout_seconds: Seconds = 3600


class FolderSettings(Strict):
    """The volumes' files into another folder, under the same names."""

    path: Path
    timeout_seconds: Seconds = 600


class TargetSettings(Strict):
    """One entry of `deliver:`: a name, one of four ways, and the rules that choose series."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]
    events: tuple[EventType, ...] = (EventType.READY, EventType.SUPERSEDED)
    when: Patterns = {}
    unless: Patterns = {}
    give_up_after_hours: Annotated[float, Field(gt=0)] = 72
    webhook: WebhookSettings | None = None
    command: CommandSettings | None = None
    forward: ForwardSettings | None = None
    folder: FolderSettings | None = None

    @property
    def kind(self) -> Literal["webhook", "command", "forward", "folder"]:
        """The kind of target."""
        if self.webhook:
            return "webhook"
        if self.command:
            return "command"
        return "forward" if self.forward else "folder"

    @property
    def timeout_seconds(self) -> float:
        """For one whole attempt."""
        way = self.webhook or self.command or self.forward or self.folder
        return way.timeout_seconds if way else 0.0

    @property
    def conditions(self) -> Conditions:
        """The conditions on the series."""
        return Conditions(self.when, self.unless)

    def refusal(self, event: SeriesEvent) -> str:
        """Return why an event is not for this target; empty if it is."""
        if event.event_type not in self.events:
            return f"its events are {', '.join(self.events)}, not {event.event_type}"
        return self.conditions.refusal(event.condition_values)

    def is_told_of_studies(self, event: EventType) -> bool:
        """Whether events of this type are for this target if they are about a study.

        Args:
            event: STUDY_READY, SUPERSEDED or PROTOCOL_DRIFT.
        """
        if event is EventType.PROTOCOL_DRIFT:
            takes_series = self.forward or self.folder or (self.command and self.command.results)
            return event in self.events and not takes_series
        return EventType.STUDY_READY in self.events and event in self.events

    @model_validator(mode="after")
    def _is_one_way(self) -> TargetSettings:
        ways = [self.webhook, self.command, self.forward, self.folder]
        if sum(way is not None for way in ways) != 1:
            raise ValueError(
                f"{self.name!r} needs exactly one of webhook, command, forward and folder"
            )
        self.conditions.check()
        self._check_events()
        return self

    def _check_events(self) -> None:
        """What is of a whole study can only be told of, by a webhook or a command."""
        if EventType.STUDY_READY not in self.events:
            return
        if self.forward or self.folder:
            raise ValueError(
                f"{self.name!r}: forward and folder take series: use the event ready; study-ready "
                "is for webhook and command"
            )
        if self.command and self.command.results:
            raise ValueError(
                f"{self.name!r}: results are made of one series: make an entry of its own for the "
                "event study-ready"
            )
