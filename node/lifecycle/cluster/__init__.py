"""Assemblies on a dask.distributed cluster: the connection, what its workers see, the jobs."""

from node.lifecycle.cluster.executor import DaskWorkers
from node.lifecycle.cluster.inspection import Look, look_round
from node.lifecycle.cluster.link import address_of

__all__ = ["DaskWorkers", "Look", "address_of", "look_round"]
