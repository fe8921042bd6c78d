"""Connected components: items that are linked by pairs, directly or through others, such as duplicates of duplicates.

Next: ``splits.py`` keeps a component in one split, ``audit/duplicates.py`` counts components.
"""

from collections.abc import Iterable

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph


def components(count: int, pairs: Iterable[tuple[int, int]]) -> list[int]:
    """Return the component of each of ``count`` items, named by the smallest item in it."""
    edges = np.array([*pairs], np.int64).reshape(-1, 2)
    graph = sparse.coo_array((np.ones(len(edges), bool), edges.T), shape=(count, count))
    component = csgraph.connected_components(graph, directed=False)[1]
    return np.unique(component, return_index=True)[1][component].tolist() if count else []
