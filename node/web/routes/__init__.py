"""The routes of the API, one file for each family; each states the role that it asks for."""
