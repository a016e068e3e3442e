"""The formats that checkpoints are stored in, one file or folder each."""

__all__: list[str] = []
