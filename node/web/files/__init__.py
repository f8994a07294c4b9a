"""The published files of series, and ZIPs of them."""
