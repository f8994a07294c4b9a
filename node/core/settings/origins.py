"""Where each value of the configuration comes from: default, line of the file, environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import yaml

from node.core.settings.contradictions import Location
from node.core.system.interpreters import variables

PREFIX = "RASNODE_"
DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the value of each key comes from.

    Attributes:
        file: name of the file in messages.
        tree: its YAML tree; None without a file.
        variables: names of environment variables, by the key that each sets.
    """

    file: str = "built-in defaults"
    tree: yaml.Node | None = None
    variables: Mapping[Location, str] = field(default_factory=dict)

    def variable(self, location: Location) -> str | None:
        """Return the environment variable that sets a key or a key above it; None if none does."""
        for length in range(len(location), 0, -1):
            if name := self.variables.get(location[:length]):
                return name
        return None

    def line(self, location: Location, *, exact: bool = False) -> int | None:
        """Return the line of a key in the file.

        Args:
            location: the key.
            exact: return None if the key itself is not in the file, not the line of a key above.
        """
        node, line = self.tree, None
        for part in location:
            if isinstance(node, yaml.MappingNode):
                pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
                if pair is None:
                    return None
                line, node = pair[0].start_mark.line + 1, pair[1]
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
                if part >= len(node.value):
                    return None
                node = node.value[part]
                line = node.start_mark.line + 1
            else:
                return None if exact else line
        return line

    def of(self, location: Location) -> str:
        """Return the origin of a key's value in a few words."""
        if name := self.variable(location):
            return f"environment {name}"
        line = self.line(location, exact=True)
        return f"{self.file}:{line}" if line else DEFAULT

    def place(self, location: Location) -> str:
        """Return the place at which a mistake has to be corrected."""
        if name := self.variable(location):
            return f"environment variable {name}"
        line = self.line(location)
        return f"{self.file}, line {line}" if line else self.file

    def overridden(self) -> list[str]:
        """Return the keys that the environment sets, with variables and overridden lines."""
        found = []
        for location, name in sorted(self.variables.items(), key=lambda item: item[1]):
            line = self.line(location, exact=True)
            instead = f", not line {line} of the file" if line else ""
            found.append(f"{'.'.join(map(str, location))} ({name}{instead})")
        return found


def variables_for(sections: Collection[str]) -> dict[Location, str]:
    """Return the environment variables that set a key, by that key.

    Args:
        sections: names of the sections.
    """
    found: dict[Location, str] = {}
    for name in sorted(variables()):
        if name.upper().startswith(PREFIX):
            location = tuple(name[len(PREFIX) :].lower().split("__"))
            if location[0] in sections:
                found[location] = name
    return found
