"""How requests are served: TLS, deadlines, headers, and answers of requests that fail."""
