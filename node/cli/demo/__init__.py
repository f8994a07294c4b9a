"""`rasnode demo`: a node of its own and synthetic studies."""
