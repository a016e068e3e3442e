"""Fixtures for the tests of linen-summary."""

import importlib.metadata

import pytest


@pytest.fixture
def registered(monkeypatch):
    """Register the checkpoints of linen-store, and files with the suffix npz, and nothing else."""
    targets = {"checkpoint": "linen_store:CheckpointStore", "npz": "linen_store:NpzStore"}
    entries = importlib.metadata.EntryPoints(
        importlib.metadata.EntryPoint(name, target, "linen.stores")
        for name, target in targets.items()
    )
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: entries.select(group=group)
    )
