"""Assembly: headers -> frames -> stacks -> volumes. Pure: no file, socket or clock."""
