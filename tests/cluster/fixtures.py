"""Pytest plugin: one real cluster for the whole run, and a fresh namespace for each test."""

import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
import trustme

from tests.cluster import Cluster, images
from tests.cluster.router import DOMAIN
from tests.tools import tool
from tests.tools.errors import ToolError
from tests.tools.requirement import unavailable

UID_RANGE_START = 1000680000
"""First uid of the range that OpenShift would give the namespace of `openshift_namespace`."""

_RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Give the running cluster; `cluster.enter` runs programs where all its addresses can be reached."""
    try:
        running = Cluster.up(tmp_path_factory.mktemp("cluster") / "state")
    except ToolError as error:
        unavailable(error)
    try:
        yield running
    finally:
        running.down()


@pytest.fixture(scope="session")
def server_image(cluster: Cluster) -> str:
    """Give the reference of the light real model server's image, in the cluster's registry."""
    return cluster.push(images.server, "server:1")


@pytest.fixture(scope="session")
def router(cluster: Cluster) -> Iterator[Path]:
    """Run a router beside the cluster and give its log; the kubeconfig's authority vouches for it, as on OpenShift."""
    pki, log = cluster.state / "pki", cluster.state / "log" / "router.log"
    authority = trustme.CA.from_pem((pki / "ca.crt").read_bytes(), (pki / "ca.key").read_bytes())
    certificate = pki / "router.pem"
    certificate.touch(mode=0o600)
    authority.issue_cert(f"*.{DOMAIN}").private_key_and_cert_chain_pem.write_to_path(certificate)
    command = [sys.executable, "-m", "tests.cluster.router", tool("kubectl"), cluster.kubeconfig, certificate]
    with log.open("w") as out:
        process = subprocess.Popen(cluster.enter(command), stdout=out, stderr=out, cwd=Path(__file__).parents[2])
    try:
        end = time.monotonic() + 20
        while "up" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        yield log
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def namespace(cluster: Cluster) -> Iterator[str]:
    """Give a fresh namespace that enforces Pod Security `restricted`; the user "dev" is its administrator."""
    with fresh_namespace(cluster) as name:
        yield name


@pytest.fixture
def openshift_namespace(cluster: Cluster) -> Iterator[str]:
    """Give a fresh namespace where pods get a uid of the namespace's range, as OpenShift's restricted-v2 does it."""
    uids = {"openshift.io/sa.scc.uid-range": f"{UID_RANGE_START}/10000"}
    with fresh_namespace(cluster, {**_RESTRICTED, "scc": "restricted-v2"}, uids) as name:
        yield name


@contextmanager
def fresh_namespace(
    cluster: Cluster, labels: Mapping[str, str] = _RESTRICTED, annotations: Mapping[str, str] = MappingProxyType({})
) -> Iterator[str]:
    """Make a namespace that the user "dev" administers, and delete it afterwards."""
    name = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", name)
    marks = [f"{key}={value}" for key, value in labels.items()]
    cluster.kubectl("label", "namespace", name, *marks)
    if annotations:
        cluster.kubectl("annotate", "namespace", name, *(f"{key}={value}" for key, value in annotations.items()))
    # What the program asks of its user: the rights of a namespace's administrator, and no more.
    cluster.kubectl("-n", name, "create", "rolebinding", "dev", "--clusterrole=admin", "--user=dev")
    cluster.kubectl("-n", name, "wait", "--for=create", "serviceaccount/default", "--timeout=30s")
    try:
        yield name
    finally:
        # Without waiting: nothing of another namespace is in the way of the next test.
        cluster.kubectl("delete", "namespace", name, "--wait=false")
