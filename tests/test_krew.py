"""krew-manifest.yaml against krew's rules, re-stated from krew's own validator.

The rules are those of internal/index/validation/validate.go, internal/installation/move.go and
cmd/validate-krew-manifest/main.go of krew 0.5.0, so far as they need no archive.
"""

import copy
import re
from collections import Counter
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from kubectl_modelcar import __version__

API_VERSION = "krew.googlecontainertools.github.com/v1alpha2"
PLATFORMS = {
    *(("windows", arch) for arch in ("386", "amd64", "arm64")),
    *(("linux", arch) for arch in ("386", "amd64", "arm", "arm64", "ppc64le")),
    *(("darwin", arch) for arch in ("386", "amd64", "arm64")),
}
SEMVER = re.compile(r"v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")
WINDOWS_DEVICES = {"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(1, 10))}
SHORT = 50  # krew sets no limit; half of its index is below 44 characters
ARCHIVES = (".tar.gz", ".zip")


def problems(manifest: dict[str, Any]) -> list[str]:
    """Return what krew would refuse, in words."""
    spec, name = manifest.get("spec", {}), manifest.get("metadata", {}).get("name", "")
    short = spec.get("shortDescription", "")
    rules = {
        "apiVersion": manifest.get("apiVersion") == API_VERSION,
        "kind": manifest.get("kind") == "Plugin",
        "name": re.fullmatch(r"[\w-]+", name) and name.lower() not in WINDOWS_DEVICES,
        "version": SEMVER.fullmatch(spec.get("version", "")),
        "shortDescription": short and not re.search(r"[\r\n]", short) and len(short) <= SHORT,
        "homepage": spec.get("homepage", "").startswith("https://"),
        "platforms": spec.get("platforms"),
    }
    found = [rule for rule, holds in rules.items() if not holds]
    platforms = spec.get("platforms") or []
    found += [f"platforms[{i}].{problem}" for i, one in enumerate(platforms) for problem in platform_problems(one)]
    chosen = Counter(pair for one in platforms for pair in selected(one.get("selector") or {}))
    return [*found, *(f"{os}/{arch} is selected twice" for (os, arch), count in chosen.items() if count > 1)]


def platform_problems(platform: dict[str, Any]) -> list[str]:
    """Return what krew would refuse of one platform."""
    program = PurePosixPath(platform.get("bin", ""))
    rules = {
        "uri": platform.get("uri", "").startswith("https://") and platform["uri"].endswith(ARCHIVES),
        "sha256": re.fullmatch(r"[a-f0-9]{64}", str(platform.get("sha256", ""))),
        "bin": program.name and ".." not in program.parts and not program.is_absolute(),
        "files": "files" not in platform or (platform["files"] and all(map(is_clean_move, platform["files"]))),
        "selector": selected(platform.get("selector") or {}),
        "unknown": platform.keys() <= {"uri", "sha256", "bin", "files", "selector"},
    }
    return [rule for rule, holds in rules.items() if not holds]


def is_clean_move(move: dict[str, str]) -> bool:
    """Return whether krew would make this move: `to` must be written as krew itself would write it."""
    to = move.get("to", "")
    return bool(move.get("from")) and to == str(PurePosixPath(to)) and ".." not in PurePosixPath(to).parts


def selected(selector: dict[str, Any]) -> set[tuple[str, str]]:
    """Return the pairs of os and arch that a selector chooses; only matchLabels, which is all this manifest needs."""
    labels = selector.get("matchLabels") or {}
    if not labels or selector.keys() != {"matchLabels"} or not labels.keys() <= {"os", "arch"}:
        return set()
    return {(os, arch) for os, arch in PLATFORMS if labels.get("os", os) == os and labels.get("arch", arch) == arch}


@pytest.fixture
def manifest(checkout) -> dict[str, Any]:
    return yaml.safe_load((checkout / "krew-manifest.yaml").read_text("utf-8"))


class TestManifest:
    def test_is_one_that_krew_takes(self, manifest):
        """None of krew's rules is broken."""
        assert problems(manifest) == []

    def test_names_the_plugin_and_the_version_of_this_package(self, manifest):
        """The archive's names carry the version too, and cannot lag behind it."""
        version = f"v{__version__}"
        archives = [
            f"releases/download/{version}/kubectl-modelcar-{version}-{os}-{arch}.tar.gz"
            for os, arch in (("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64"))
        ]
        spec = manifest["spec"]
        uris = [platform["uri"].removeprefix(f"{spec['homepage']}/") for platform in spec["platforms"]]
        assert ("modelcar", version, archives) == (manifest["metadata"]["name"], spec["version"], uris)


def _changed(manifest: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    changed = copy.deepcopy(manifest)
    *parents, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    place: Any = changed
    for step in parents:
        place = place[step]
    if value is None:
        del place[last]
    else:
        place[last] = value
    return changed


class TestRules:
    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            pytest.param("apiVersion", "v1", ["apiVersion"], id="api-version"),
            pytest.param("kind", "plugin", ["kind"], id="kind"),
            pytest.param("metadata.name", "model car", ["name"], id="name-with-a-space"),
            pytest.param("metadata.name", "NUL", ["name"], id="windows-device"),
            pytest.param("spec.version", "0.1.0", ["version"], id="version-without-v"),
            pytest.param("spec.version", "v0.1", ["version"], id="version-no-semver"),
            pytest.param("spec.shortDescription", "a\nb", ["shortDescription"], id="two-lines"),
            pytest.param("spec.shortDescription", "x" * 51, ["shortDescription"], id="long"),
            pytest.param("spec.homepage", None, ["homepage"], id="no-homepage"),
            pytest.param("spec.platforms", [], ["platforms"], id="no-platform"),
            pytest.param("spec.platforms.0.sha256", "A" * 64, ["platforms[0].sha256"], id="upper-case-sum"),
            pytest.param("spec.platforms.0.sha256", None, ["platforms[0].sha256"], id="no-sum"),
            pytest.param("spec.platforms.1.uri", "https://x/y.tgz.sig", ["platforms[1].uri"], id="no-archive"),
            pytest.param("spec.platforms.1.bin", "../kubectl-modelcar", ["platforms[1].bin"], id="bin-outside"),
            pytest.param("spec.platforms.1.files", [], ["platforms[1].files"], id="no-files"),
            pytest.param(
                "spec.platforms.1.files", [{"from": "*", "to": "./x"}], ["platforms[1].files"], id="unclean-move"
            ),
            pytest.param("spec.platforms.2.sha-256", "0" * 64, ["platforms[2].unknown"], id="typo"),
            pytest.param("spec.platforms.3.selector", {}, ["platforms[3].selector"], id="selects-nothing"),
            pytest.param(
                "spec.platforms.3.selector.matchLabels.arch", "s390x", ["platforms[3].selector"], id="unknown-arch"
            ),
            pytest.param(
                "spec.platforms.3.selector.matchLabels.arch", "amd64", ["darwin/amd64 is selected twice"], id="overlap"
            ),
        ],
    )
    def test_find_each_defect(self, manifest, path, value, expected):
        """One change breaks one rule, and only that."""
        assert problems(_changed(manifest, path, value)) == expected
