"""Tests of what registries are known not to take."""

from types import SimpleNamespace

import pytest

from kubectl_modelcar.image import LayerPlan, LayoutReference, ModelFile, RawLayer, parse_location
from kubectl_modelcar.registry import limit_warnings, limits_of

MIB, GIB = 2**20, 2**30
GHCR = parse_location("ghcr.io/org/m:1")


def layer(size, name="w.safetensors"):
    """Return a layer of one file, of this many bytes."""
    return RawLayer(ModelFile(name, size))


class TestTable:
    """Hosts and their limits."""

    @pytest.mark.parametrize(
        ("host", "name"),
        [
            ("ghcr.io", "GitHub's registry"),
            ("GHCR.io:443", "GitHub's registry"),
            ("123456789012.dkr.ecr.eu-central-1.amazonaws.com", "Amazon ECR"),
            ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "Amazon ECR"),
            ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "Amazon ECR"),
            ("public.ecr.aws", "Amazon ECR Public"),
            ("mycompany.azurecr.io", "Azure Container Registry"),
            ("quay.io", "quay.io"),
            ("swr.cn-north-4.myhuaweicloud.com", "Huawei's SWR"),
            ("r2-registry.me.workers.dev", "Cloudflare's serverless registry"),
        ],
    )
    def test_known(self, host, name):
        """By name, and by pattern where each customer has an own host."""
        assert limits_of(host).name == name

    @pytest.mark.parametrize(
        "host",
        ["docker.io", "registry.example.com", "localhost:5000", "notquay.io", "ghcr.io.example.com", "ghcr.io:5000"],
    )
    def test_unknown(self, host):
        """Nothing is said of registries of which nothing is known, or whose names only look alike."""
        assert limits_of(host) is None


class TestWarnings:
    """What is said before the first byte is sent."""

    @pytest.mark.parametrize(
        ("location", "size"),
        [
            pytest.param("ghcr.io/o/m", 7_500_000_000, id="ghcr"),
            pytest.param("public.ecr.aws/o/m", 10_000 * MIB, id="ecr public"),
            pytest.param("1.dkr.ecr.us-east-1.amazonaws.com/m", 52_000 * MIB, id="ecr"),
            pytest.param("x.azurecr.io/m", 200 * GIB, id="acr"),
            pytest.param("quay.io/o/m", 20_000_000_000, id="quay"),
            pytest.param("swr.cn-north-4.myhuaweicloud.com/o/m", 10_000_000_000, id="swr"),
            pytest.param("a.workers.dev/m", 500_000_000, id="cloudflare"),
        ],
    )
    def test_where_it_begins(self, location, size):
        """At the limit nothing is said, a byte beyond it a sentence is."""
        there = parse_location(location)
        assert [len(limit_warnings(there, [layer(size + more)])) for more in (0, 1)] == [0, 1]

    def test_a_file_that_is_too_large(self):
        """The limit, the file, and the ways out."""
        assert limit_warnings(GHCR, [layer(5), layer(12_300_000_000, "b.safetensors")]) == [
            (
                "GitHub's registry takes layers of up to 10.0 GB: b.safetensors (12.3 GB) is too large by 2.3 GB: save "
                "the model in smaller shards (max_shard_size), push to another registry, or leave it out with "
                "--exclude b.safetensors"
            )
        ]

    def test_files_that_share_a_layer(self):
        """Are each small enough: an artifact parts them."""
        plan = LayerPlan((ModelFile("a.safetensors", 6_000_000_000), ModelFile("b.safetensors", 6_000_000_000)))
        assert limit_warnings(GHCR, [plan]) == [
            (
                "GitHub's registry takes layers of up to 10.0 GB: a.safetensors and 1 more (12.0 GB) holds more than a "
                "file: with --format artifact each file is a layer, and nothing else"
            )
        ]

    def test_one_request(self):
        """A limit of requests, not of layers."""
        assert limit_warnings(parse_location("quay.io/o/m"), [layer(21_000_000_000)]) == [
            (
                "quay.io is known to refuse more than 20.0 GB in one request: w.safetensors (21.0 GB) is too large by "
                "1.0 GB: save the model in smaller shards (max_shard_size), push to another registry, or leave it out "
                "with --exclude w.safetensors"
            )
        ]

    def test_time(self):
        """A layer that takes the time limit of a usual uplink, and what rate it needs."""
        assert limit_warnings(GHCR, [layer(9_000_000_000)]) == [
            (
                "GitHub's registry ends an upload after 10 minutes: w.safetensors (9.0 GB) needs 15.0 MB a second; "
                "with --jobs 1 a layer has the uplink to itself"
            )
        ]

    def test_manifest(self):
        """Of an artifact of very many files."""
        assert limit_warnings(parse_location("x.azurecr.io/m"), [], 5_000_000) == [
            (
                "Azure Container Registry takes manifests of up to 4.2 MB, this one has about 5.0 MB: leave files out "
                "with --exclude"
            )
        ]

    def test_a_layer_that_is_copied(self):
        """Nothing can be left out of it, and its image is what it is."""
        copied = SimpleNamespace(name="w.safetensors", size=12_300_000_000, files=())
        assert limit_warnings(GHCR, [copied]) == [
            (
                "GitHub's registry takes layers of up to 10.0 GB: w.safetensors (12.3 GB) is too large by 2.3 GB: push "
                "to another registry, or push the model itself, in smaller shards (max_shard_size)"
            )
        ]

    def test_each_layer(self):
        """Every one that is too large is named."""
        assert len(limit_warnings(GHCR, [layer(2 * 10**10, "a"), layer(2 * 10**10, "b"), layer(1, "c")])) == 2

    def test_a_layout(self, tmp_path):
        """Takes everything."""
        assert limit_warnings(LayoutReference(tmp_path), [layer(10**15)]) == []
