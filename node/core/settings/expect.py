"""`expect:` in the settings: the protocols that series are compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

from node.core.conditions.conditions import Conditions
from node.core.conditions.settings import Patterns


class ExpectSettings(BaseModel):
    """A protocol, and the series that are compared with it.

    Attributes:
        when, unless: conditions on the series.
        protocol: a file that `rasnode protocol` made.
        tolerances: by how much parameters may differ, by their names in the file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Patterns = {}
    unless: Patterns = {}
    protocol: Path
    tolerances: dict[str, Annotated[float, Field(ge=0)]] = {}

    @property
    def conditions(self) -> Conditions:
        """Which series are compared."""
        return Conditions(self.when, self.unless)

    @model_validator(mode="after")
    def _known_keys(self) -> ExpectSettings:
        self.conditions.check()
        return self
