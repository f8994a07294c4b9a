"""`doctor`: checks of this machine, the configuration and the data, and what to do."""
