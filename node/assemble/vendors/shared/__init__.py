"""What several makers' modules have in common."""
