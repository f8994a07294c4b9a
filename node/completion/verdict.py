"""Weighs all the evidence of a series into one verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from node.completion.announced_counts import announced_evidence
from node.completion.facts import Evidence, SeriesFacts
from node.completion.instance_numbers import number_evidence
from node.completion.missing_ends import end_evidence
from node.completion.peer_evidence import association_evidence, statement_evidence
from node.completion.slice_layout import lay_out, numbering
from node.completion.slice_positions import grid_evidence, position_evidence
from node.core.records import Arrival, Verdict


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict with all its evidence.

    Attributes:
        verdict: complete, incomplete or unknown.
        evidence: all of it, whatever it says.
        stopped: incomplete only because the scan was stopped: its complete volumes can be
            assembled.
    """

    verdict: Verdict
    evidence: tuple[Evidence, ...] = ()
    stopped: bool = False

    def reasons(self) -> list[dict[str, Any]]:
        """The evidence as JSON: first what supports the verdict, then the rest."""
        ordered = sorted(self.evidence, key=lambda item: item.says is not self.verdict)
        return [item.as_dict() for item in ordered]


def gather(facts: SeriesFacts, arrivals: Sequence[Arrival]) -> Finding:
    """Find all evidence in the facts of a series, and weigh it.

    Args:
        facts: its instances and what peers said of it.
        arrivals: what each association brought.

    Returns:
        the verdict with its evidence.
    """
    stacks = lay_out(facts.instances)
    numbers = numbering(facts.instances)
    received = {instance.uid for instance in facts.instances}
    found = (
        *statement_evidence(facts.statements, received, arrivals),
        *announced_evidence(facts.instances, stacks, numbers),
        *position_evidence(stacks, numbers),
        *grid_evidence(stacks, numbers),
        *number_evidence(facts.instances, stacks, numbers),
        *association_evidence(arrivals),
    )
    ends = end_evidence(facts.instances, stacks, numbers, found)
    return weigh(found if ends is None else (*found, ends))


def weigh(evidence: tuple[Evidence, ...]) -> Finding:
    """Proof of a gap outweighs all; else proof of completeness counts, if nothing raises doubt."""
    against = [item for item in evidence if item.says is Verdict.INCOMPLETE]
    if against:
        return Finding(Verdict.INCOMPLETE, evidence, all(item.stopped for item in against))
    proof = any(item.says is Verdict.COMPLETE for item in evidence)
    if proof and not any(item.doubt for item in evidence):
        return Finding(Verdict.COMPLETE, evidence)
    return Finding(Verdict.UNKNOWN, evidence)
