"""Which cgroup hierarchies there are, read from /proc/self/cgroup."""

import pytest

from tests.cluster.cgroups import own_cgroups

V1 = ["cpuset", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"]


def membership(*controllers):
    """Return the text of /proc/self/cgroup for some hierarchies."""
    return "".join(f"{number}:{name}:/own\n" for number, name in enumerate(controllers, 1)) + "0::/own\n"


class TestOwnCgroups:
    """Either everything that the kubelet asks for is there, or nothing is used."""

    @pytest.mark.parametrize(
        ("controllers", "expected"),
        [
            pytest.param(["cpu", "cpuacct", *V1], ["cpu", "cpuacct", *V1], id="one-each"),
            pytest.param(["cpu,cpuacct", *V1], ["cpu,cpuacct", *V1], id="joined"),
            pytest.param(["hugetlb", "cpu", "cpuacct", *V1], ["cpu", "cpuacct", *V1], id="others-left-out"),
            pytest.param(["cpu", "cpuacct", *V1[:-1]], [], id="no-systemd-hierarchy"),
            pytest.param([], [], id="v2-only"),
        ],
    )
    def test_hierarchies(self, controllers, expected):
        """The hierarchies found, with our own path in each."""
        assert own_cgroups(membership(*controllers)) == dict.fromkeys(expected, "/own")

    def test_colon_in_the_path(self):
        """A path may hold what separates the fields."""
        text = membership("cpu", "cpuacct", *V1).replace("/own", "/a:b")
        assert own_cgroups(text)["memory"] == "/a:b"
