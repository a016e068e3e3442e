"""The command `linen-summary`."""

__all__: list[str] = []
