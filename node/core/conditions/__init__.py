"""Conditions on series: patterns that are compared with what is known of a series. Pure."""
