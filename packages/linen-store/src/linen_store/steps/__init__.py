"""Checkpoints by step: which are kept, which is the best, and where a training run resumes."""

__all__: list[str] = []
