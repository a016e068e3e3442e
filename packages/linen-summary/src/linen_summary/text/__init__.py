"""Values, numbers, tables and rich output as text."""

__all__: list[str] = []
