"""The page, the API, the metrics and the health check. They only read."""
