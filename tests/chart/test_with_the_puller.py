"""The chart and its puller agree: the pod's own command fills the very folder that the server is told to read."""

import base64
import json
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trustme

from tests.chart.rendering import CHART, mount
from tests.fakes.registry import PASSWORD, USER, FakeRegistry

pytestmark = pytest.mark.real

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = b'{"architectures": ["LlamaForCausalLM"]}'


@dataclass
class Node:
    """The part of a node that a pod sees: what its volumes hold, by name, and where it would mount them."""

    folder: Path
    contents: dict[str, dict[str, str]] = field(default_factory=dict)

    def run_puller(self, rendered) -> subprocess.CompletedProcess[str]:
        """Run the puller's command with each mounted path replaced by a folder of this machine."""
        container = rendered.puller()
        places = {}
        for one in container["volumeMounts"]:
            volume = places[one["mountPath"]] = self.folder / one["name"]
            volume.mkdir(exist_ok=True)
            for name, text in self.contents.get(one["name"], {}).items():
                (volume / name).write_text(text)
        mounted = re.compile(f"(?<![^=])({'|'.join(map(re.escape, places))})(?=/|$)")
        command = [*container["command"], *container["args"]]
        argv = [mounted.sub(lambda path: str(places[path[0]]), word) for word in command]
        log = self.folder / "termination-log"
        argv = [sys.executable, *argv[1:], f"--termination-log={log}"]
        return subprocess.run(argv, capture_output=True, text=True, check=False)

    def path(self, rendered, in_pod: str) -> Path:
        """Return where a path of the server's is on this machine."""
        place = mount(rendered.server(), "/models")
        return self.folder / place["name"] / Path(in_pod).relative_to(place["mountPath"])


@pytest.fixture
def node(tmp_path) -> Node:
    """A node whose ConfigMap volume holds the chart's puller."""
    return Node(tmp_path, {"puller": {"puller.py": (CHART / "files" / "puller.py").read_text("utf-8")}})


def push(registry: FakeRegistry) -> dict:
    """Put a model of one file there and return the values that name it."""
    layer = {
        "mediaType": "application/vnd.cncf.model.weight.v1.raw",
        "digest": registry.add_blob("org/model", CONFIG),
        "size": len(CONFIG),
        "annotations": {"org.opencontainers.image.title": "config.json"},
    }
    config = {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": registry.add_blob("org/model", b"{}"),
        "size": 2,
    }
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]}
    digest = registry.add_manifest("org/model", json.dumps(manifest).encode(), MANIFEST)
    return {"reference": f"{registry.host}/org/model", "digest": digest}


def model_flag(rendered) -> str:
    """Return the folder that the server is told to read."""
    (found,) = (one for one in rendered.server()["args"] if one.startswith("--model="))
    return found.removeprefix("--model=")


class TestPull:
    def test_fills_the_folder_that_the_server_reads(self, render, node):
        """The model's files are directly in the folder of the server's --model."""
        with FakeRegistry() as registry:
            rendered = render(model={"image": {**push(registry), "plainHttp": True}})
            ran = node.run_puller(rendered)
        assert (ran.returncode, ran.stderr.count("error")) == (0, 0), ran.stderr
        assert (node.path(rendered, model_flag(rendered)) / "config.json").read_bytes() == CONFIG

    def test_logs_in_with_the_mounted_secret(self, render, node):
        """A private registry gets the login of the Secret that the values name."""
        with FakeRegistry(auth="bearer") as registry:
            login = {"auth": base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}
            node.contents["auth"] = {"config.json": json.dumps({"auths": {registry.host: login}})}
            image = {**push(registry), "plainHttp": True}
            refused = node.run_puller(render(model={"image": image}))
            ran = node.run_puller(render(model={"image": {**image, "pullSecret": "mine"}}))
        assert (refused.returncode, ran.returncode) == (3, 0), ran.stderr

    def test_trusts_the_mounted_certificates(self, render, node):
        """A registry with a certificate of one's own is trusted by the ConfigMap that the values name."""
        authority = trustme.CA()
        node.contents["ca"] = {"ca.crt": authority.cert_pem.bytes().decode()}
        with FakeRegistry(tls=authority) as registry:
            image = push(registry)
            refused = node.run_puller(render(model={"image": image}))
            ran = node.run_puller(render(model={"image": {**image, "ca": {"configMap": "bundle"}}}))
            blind = node.run_puller(render(model={"image": {**image, "insecure": True}}))
        assert (refused.returncode, ran.returncode, blind.returncode) == (5, 0, 0), ran.stderr
