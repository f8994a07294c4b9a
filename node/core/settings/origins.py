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
    """Answers for every key where its value comes from.

    Attributes:
        file: the file as messages call it.
        tree: its YAML; None without a file.
        variables: names of environment variables, by the key that each sets.
    """

    file: str = "built-in defaults"
    tree: yaml.Node | None = None
    variables: Mapping[Location, str] = field(default_factory=dict)

    def variable(self, location: Location) -> str | None:
        """The environment variable that sets a key, or something above it."""
        for length in range(len(location), 0, -1):
            if name := self.variables.get(location[:length]):
                return name
        return None

    def line(self, location: Location, *, exact: bool = False) -> int | None:
        """The line of the file that a key is in.

        Args:
            exact: None where the key itself is not in the file, and not the line of what is above.
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
        """Where the value of a key comes from, in a few words."""
        if name := self.variable(location):
            return f"environment {name}"
        line = self.line(location, exact=True)
        return f"{self.file}:{line}" if line else DEFAULT

    def place(self, location: Location) -> str:
        """Where a mistake has to be corrected."""
        if name := self.variable(location):
            return f"environment variable {name}"
        line = self.line(location)
        return f"{self.file}, line {line}" if line else self.file

    def overridden(self) -> list[str]:
        """The keys that the environment sets, with its variables and the lines that lose."""
        said = []
        for location, name in sorted(self.variables.items(), key=lambda item: item[1]):
            line = self.line(location, exact=True)
            instead = f", not line {line} of the file" if line else ""
            said.append(f"{'.'.join(map(str, location))} ({name}{instead})")
        return said


def variables_for(sections: Collection[str]) -> dict[Location, str]:
    """The environment variables that set something, by what they set.

    Args:
        sections: names that a key may begin with.
    """
    found: dict[Location, str] = {}
    for name in sorted(variables()):
        if name.upper().startswith(PREFIX):
            location = tuple(name[len(PREFIX) :].lower().split("__"))
            if location[0] in sections:
                found[location] = name
    return found
