"""The page, the API, the metrics and the health check. They read; nothing can be changed here."""
