"""What peers said and asked, and what they are still to be told."""
