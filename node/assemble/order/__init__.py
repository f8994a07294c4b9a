"""The 4th axis: which frame belongs to which volume, by the evidence of all attributes."""
