"""Checkpoints and files in buckets and on web servers."""

__all__: list[str] = []
