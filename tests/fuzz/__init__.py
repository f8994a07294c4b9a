"""Hostile input, made from a seed: every case can be had again."""
