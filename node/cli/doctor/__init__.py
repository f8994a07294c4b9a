"""`rasnode doctor`: can a node run here and do its work."""
