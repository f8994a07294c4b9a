"""The page, the API, the metrics and the health check. Without `http.auth` they only read."""
