"""From a settled series to a visible revision: names, jobs, outcomes, and word of them."""
