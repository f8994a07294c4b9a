"""The protocols that series are compared with: read once, chosen by conditions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from node.assemble.protocol import PARAMETERS, Deviation, Entry, deviations, missing
from node.core.errors import ConfigError
from node.core.records import SeriesRecord, Verdict
from node.core.settings.expect import ExpectSettings
from node.lifecycle.series_origins import SeriesOrigins


@dataclass(frozen=True, slots=True)
class Expectation:
    """A protocol that a series is compared with.

    Attributes:
        file: the name of the protocol file.
        entries: the volumes of the reference session.
        tolerances: by parameter.
    """

    file: str
    entries: tuple[Entry, ...] = field(repr=False)
    tolerances: Mapping[str, float]

    def drift(self, found: Entry) -> list[dict[str, Any]]:
        """The deviations of a volume, as payloads and the API have them.

        Args:
            found: the volume's parameters.
        """
        return self._told(deviations(self.entries, found, self.tolerances) or [])

    def missing(self, found: Sequence[Entry]) -> list[dict[str, Any]]:
        """The series that a session lacks, as payloads and the API have them.

        Args:
            found: the volumes of the session, as `node.assemble.protocol.missing` takes them.
        """
        return self._told(missing(self.entries, found))

    def _told(self, found: Sequence[Deviation]) -> list[dict[str, Any]]:
        return [{**one._asdict(), "sentence": one.sentence, "protocol": self.file} for one in found]


class Expectations:
    """Chooses the protocols for a series.

    Args:
        settings: the entries of `expect:`.

    Raises:
        ConfigError: a protocol file cannot be read, or a tolerance is for no parameter.
    """

    def __init__(self, settings: Sequence[ExpectSettings] = ()) -> None:
        self._entries = [(one.conditions, _read(one)) for one in settings]

    def __bool__(self) -> bool:
        return bool(self._entries)

    def of(self, series: SeriesRecord, origins: SeriesOrigins) -> tuple[Expectation, ...]:
        """The protocols that a series is compared with.

        Args:
            series: the series.
            origins: what conditions are compared with, from the index.
        """
        if not self._entries:
            return ()
        verdict = (series.verdict or {}).get("verdict", Verdict.UNKNOWN)
        values = origins.values(series, verdict)
        return tuple(one for conditions, one in self._entries if not conditions.refusal(values))


def read_protocol(path: Path) -> tuple[Entry, ...]:
    """The volumes of a protocol file.

    Raises:
        ConfigError: it cannot be read, or is no protocol.
    """
    try:
        found = json.loads(path.read_bytes())
        entries = tuple(found["series"])
        if not all(isinstance(one, dict) for one in entries):
            raise TypeError
    except OSError as error:
        raise ConfigError(f"cannot read the protocol {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no protocol: make one with `rasnode protocol SESSION --out {path}`"
        ) from error
    return entries


def _read(settings: ExpectSettings) -> Expectation:
    for name in settings.tolerances:
        if name not in PARAMETERS:
            near = get_close_matches(name, PARAMETERS, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ConfigError(f"expect: {name!r} is no parameter of a protocol{hint}")
    entries = read_protocol(settings.protocol)
    return Expectation(settings.protocol.name, entries, settings.tolerances)
