"""Queries: which patients, studies, series and instances somebody asks for."""
