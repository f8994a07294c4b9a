"""Users, tokens and sessions of the page and the API, in a file of their own."""
