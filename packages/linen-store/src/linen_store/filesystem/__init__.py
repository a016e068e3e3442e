"""The file system: paths, failures of the system, and replacing a checkpoint in one step."""

__all__: list[str] = []
