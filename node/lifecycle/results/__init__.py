"""Results on their way into the PACS: found on their series, made, kept and sent."""
