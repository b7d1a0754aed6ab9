"""What belongs together: images that share an identity, a group or a cluster, directly or through others."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

SHARED = ("id", "group", "cluster")


def of(index: pd.DataFrame) -> pd.Series:
    """The number of each row's unit: rows with the same id, group or cluster ('' is none) have the same, and so on."""
    count = nodes = len(index)
    edges = []
    for column in SHARED:
        named = np.flatnonzero(index[column] != "")
        numbers, names = pd.factorize(index[column].iloc[named])
        edges.append(np.column_stack([named, nodes + numbers]))
        nodes += len(names)
    return pd.Series(connected(nodes, np.concatenate(edges))[:count], index.index)


def connected(count: int, pairs: np.ndarray) -> np.ndarray:
    """The component of each of `count` nodes under the edges `pairs`, int (m, 2)."""
    graph = coo_array((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), (count, count))
    return connected_components(graph, directed=False)[1]
