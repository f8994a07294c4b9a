"""From a series at rest to a visible revision: watcher, assembly, publishing, operators."""
