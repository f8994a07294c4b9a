"""Pure assembly: headers -> frames -> stacks -> volumes. No file, socket or clock in here."""
