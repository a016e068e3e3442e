"""One abstract run of a module: its calls and its variables."""

__all__: list[str] = []
