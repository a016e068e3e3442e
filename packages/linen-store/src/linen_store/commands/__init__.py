"""The subcommands of the program ``linen-store``."""

__all__: list[str] = []
