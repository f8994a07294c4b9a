"""What every room uses: errors, records, settings, logs, metrics, supervision; imports no room."""
