"""From a settled series to a visible revision: jobs, output names, files, failures."""
