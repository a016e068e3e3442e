"""Reads many small values of an OCDBT database in one pass over its nodes.

The time of a look-up in tensorstore grows with the number of names in a node, and a node of Orbax can hold those of
100,000 arrays. The pass takes as long as a few hundred look-ups.

Importing this module imports tensorstore.
"""

from __future__ import annotations

import tensorstore as ts

__all__ = ["inline_values"]


def inline_values(base: ts.KvStore, ending: str, context: ts.Context) -> dict[str, bytes]:
    """Read the values in the nodes themselves whose names have some ending.

    Args:
      base: the folder of the database.
      ending: the ending.
      context: tensorstore's resources.

    Returns:
      The values by name. Values that are too large for a node are left out.

    Raises:
      ValueError: the database is damaged.

    Example:
      >>> context = ts.Context()
      >>> store = ts.KvStore.open({"driver": "ocdbt", "base": "memory://"}, context=context).result()
      >>> store["kernel/zarr.json"] = b"{}"
      >>> inline_values(store.base, "/zarr.json", context)
      {'kernel/zarr.json': b'{}'}
    """
    manifest = ts.ocdbt.dump(base, context=context).result()
    root = manifest["versions"][-1]["root"].get("location") if manifest["versions"] else None
    waiting = [] if root is None else [(root, b"")]
    found = {}
    while waiting:
        location, prefix = waiting.pop()
        for entry in ts.ocdbt.dump(base, location, context=context).result()["entries"]:
            name = prefix + entry["key"]
            if "location" in entry:
                waiting.append((entry["location"], prefix + entry["subtree_common_prefix"]))
            elif "inline_value" in entry and name.endswith(ending.encode()):
                found[name.decode()] = entry["inline_value"]
    return found
