"""From received instances to a visible revision: completion, assembly, publishing, operators."""
