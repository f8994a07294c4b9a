"""Verification: is every file still what was received or published?"""
