"""Conditions in the settings: a pattern or several for each key."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator


def listed(value: Any) -> Any:
    """Return a list of patterns, also for a single one; numbers become text."""
    if not isinstance(value, dict):
        return value
    return {
        key: [
            str(item) for item in (patterns if isinstance(patterns, list | tuple) else [patterns])
        ]
        for key, patterns in value.items()
    }


Patterns = Annotated[dict[str, tuple[str, ...]], BeforeValidator(listed)]
"""The type of `when` and `unless` in a section of the settings."""
