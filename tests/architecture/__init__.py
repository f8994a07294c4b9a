"""The picture of the rooms in docs/architecture.md, and tests that documentation follows code."""
