"""Reading from files: descriptions of arrays, buffers, devices, and the base class of stores over files."""

__all__: list[str] = []
