"""Assemblies on a dask.distributed cluster: the connection, the jobs, the workers' side."""

from node.lifecycle.cluster.connection import address_of
from node.lifecycle.cluster.executor import DaskWorkers
from node.lifecycle.cluster.inspection import ClusterReport, inspect_cluster

__all__ = ["ClusterReport", "DaskWorkers", "address_of", "inspect_cluster"]
