"""Views of stores: other names, shapes and parts of the same arrays, without a copy and without reading.

Each function takes a store, or a mapping of variables, and returns a read-only store. Views nest. A pattern is a
regular expression that is searched in the names of arrays, written ``collection/module/name``.
"""

from linen_store.views.combining import average as average
from linen_store.views.combining import compute as compute
from linen_store.views.combining import concatenate as concatenate
from linen_store.views.combining import overlay as overlay
from linen_store.views.combining import split as split
from linen_store.views.combining import stack as stack
from linen_store.views.combining import unstack as unstack
from linen_store.views.inverting import inverse as inverse
from linen_store.views.maps import Map as Map
from linen_store.views.naming import drop as drop
from linen_store.views.naming import mount as mount
from linen_store.views.naming import move as move
from linen_store.views.naming import rename as rename
from linen_store.views.naming import select as select
from linen_store.views.rules import Rule as Rule
from linen_store.views.shaping import cast as cast
from linen_store.views.shaping import pad as pad
from linen_store.views.shaping import reshape as reshape
from linen_store.views.shaping import resize as resize
from linen_store.views.shaping import slice_axis as slice_axis
from linen_store.views.shaping import transpose as transpose
from linen_store.views.suggesting import Suggestion as Suggestion
from linen_store.views.suggesting import suggest as suggest
from linen_store.views.view import View as View
