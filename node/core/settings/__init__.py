"""The configuration: keys (`model`), file, environment, validation, and origin of each value."""
