"""A real single-node Kubernetes on this machine, in namespaces of its own; `Cluster.up` is the door."""

from tests.cluster.cluster import Cluster
from tests.cluster.requirements import ClusterError

__all__ = ["Cluster", "ClusterError"]
