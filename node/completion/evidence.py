"""All the evidence of a series, weighed into one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.completion.ends import end_evidence
from node.completion.facts import Evidence, SeriesFacts
from node.completion.layout import lay_out, numbering
from node.completion.numbers import announced_evidence, number_evidence
from node.completion.peers import association_evidence, statement_evidence
from node.completion.space import grid_evidence, position_evidence
from node.core.records import Arrival, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with all its evidence.

    Attributes:
        stopped: incomplete only because the scan was stopped: its whole volumes can be assembled.
    """

    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    stopped: bool = False

    def reasons(self) -> list[dict[str, Any]]:
        """What speaks for the verdict first, then the remarks."""
        ordered = sorted(self.evidence, key=lambda item: item.says is not self.verdict)
        return [item.as_dict() for item in ordered]


def gather(facts: SeriesFacts, arrivals: Sequence[Arrival]) -> Finding:
    """Draw the evidence from the facts and weigh it."""
    stacks = lay_out(facts.instances)
    numbers = numbering(facts.instances)
    here = {instance.uid for instance in facts.instances}
    found = (
        *statement_evidence(facts.statements, here, arrivals),
        *announced_evidence(facts.instances, stacks, numbers),
        *position_evidence(stacks, numbers),
        *grid_evidence(stacks, numbers),
        *number_evidence(facts.instances, stacks, numbers),
        *association_evidence(arrivals),
    )
    ends = end_evidence(facts.instances, stacks, numbers, found)
    return weigh(found if ends is None else (*found, ends))


def weigh(evidence: tuple[Evidence, ...]) -> Finding:
    """One proof of a gap outweighs everything; without one, proof of the whole, unless in doubt."""
    against = [item for item in evidence if item.says is Verdict.INCOMPLETE]
    if against:
        return Finding(Verdict.INCOMPLETE, evidence, all(item.stopped for item in against))
    proof = any(item.says is Verdict.COMPLETE for item in evidence)
    if proof and not any(item.doubt for item in evidence):
        return Finding(Verdict.COMPLETE, evidence)
    return Finding(Verdict.UNKNOWN, evidence)
