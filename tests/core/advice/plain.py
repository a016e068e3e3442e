"""Errors of Python's own classes, where no program needs to tell them apart."""
CASES = []
