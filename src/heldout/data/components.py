"""What belongs together: images that share an identity, a group or a cluster, directly or through others."""

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

LINK_COLUMNS = ("id", "group", "cluster")


def label(index: pd.DataFrame) -> pd.Series:
    """The number of each row's component: rows with the same id, group or cluster ('' is none) are in the same one."""
    num_nodes = len(index)
    edges = []
    for column in LINK_COLUMNS:
        linked = np.flatnonzero(index[column] != "")
        codes, values = pd.factorize(index[column].iloc[linked])
        edges.append(np.column_stack([linked, num_nodes + codes]))
        num_nodes += len(values)
    return pd.Series(connected(num_nodes, np.concatenate(edges))[: len(index)], index.index)


def of_images(rows: pd.DataFrame, ids: np.ndarray) -> np.ndarray:
    """The number of each image's component, int (n,), in the order of `ids`.

    Args:
        rows: a split's manifest, with or without groups, which holds every image.
        ids: (n,), of `shards.Images`.
    """
    table = rows if "group" in rows else rows.assign(group="")
    return label(table).groupby(table["id"]).first().reindex(ids).to_numpy()


def connected(num_nodes: int, edges: np.ndarray) -> np.ndarray:
    """The number of the component of each of `num_nodes` nodes under the edges, int (m, 2)."""
    graph = coo_array((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), (num_nodes, num_nodes))
    return connected_components(graph, directed=False)[1]
