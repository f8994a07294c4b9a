"""Queries for patients, studies, series and instances: C-FIND, lists of commands, the page."""
