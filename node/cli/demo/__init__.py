"""`demo`: a temporary node and two synthetic studies."""
