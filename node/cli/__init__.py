"""The command line: one file for each family of commands, thin edges over the rooms below."""
