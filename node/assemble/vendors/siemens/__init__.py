"""Siemens' private elements."""
