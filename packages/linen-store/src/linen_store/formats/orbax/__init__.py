"""Orbax checkpoints: how they are recognised, opened, read, checked and written."""

__all__: list[str] = []
