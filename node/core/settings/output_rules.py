"""`output.rules` in the settings: a template of names for each kind of series."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from node.core.conditions.settings import Patterns
from node.core.errors import ConfigError
from node.core.output_names import check_label, check_template
from node.core.output_rules import OutputRule

REPROIN: Final = "reproin"
DEFAULT_PARTICIPANT: Final = "{PatientID}"


def _template(value: str) -> str:
    try:
        check_template(value)
    except ConfigError as error:
        raise ValueError(str(error).replace("output.name", "the template", 1)) from error
    return value


def _participant(value: str) -> str:
    try:
        check_label(value)
    except ConfigError as error:
        raise ValueError(str(error).replace("output.name", "the template", 1)) from error
    return value


def _as_rules(value: Any) -> Any:
    """Return a list of rules, also for the name of a built-in rule set alone."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return items
    return [{"use": item} if isinstance(item, str) else item for item in items]


class RuleSettings(BaseModel):
    """One rule: conditions, and the template of the names of the volumes that meet them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    when: Patterns = {}
    unless: Patterns = {}
    name: Annotated[str, AfterValidator(_template)] | None = Field(default=None)
    use: Literal["reproin"] | None = None
    participant: Annotated[str, AfterValidator(_participant)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> RuleSettings:
        stated = "name" in self.model_fields_set
        if self.name is not None if self.use else not stated:
            raise ValueError(
                "a rule needs either a name, with null for series that make no volume, or use: "
                f"{REPROIN}"
            )
        if self.participant is not None and self.use is None:
            raise ValueError("participant belongs to use; write the participant into the name")
        return self

    def rule(self) -> OutputRule:
        """The rule."""
        return OutputRule(
            when=self.when,
            unless=self.unless,
            name=self.name,
            use=self.use or "",
            participant=self.participant or DEFAULT_PARTICIPANT,
        )


RulesSettings = Annotated[tuple[RuleSettings, ...], BeforeValidator(_as_rules)]
