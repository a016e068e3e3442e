"""Deferred execution: operations are recorded, and only those that lead to a needed value run."""
