"""The cluster: how it is reached, helm, Secrets, Routes, and what a release is waiting for.

Importing this door imports neither `kubernetes` nor `subprocess`' users; the functions that connect do.
"""

from kubectl_modelcar.cluster.options import ClusterOptions

__all__ = ["ClusterOptions"]
