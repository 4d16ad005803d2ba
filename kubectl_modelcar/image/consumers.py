"""Who can read an image of a model: each consumer's own rules, as its source has them. Pure.

A rule is worth its source; where a rule changed with a version, the version is in the reason.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kubectl_modelcar.image.annotations import FILES_ANNOTATION
from kubectl_modelcar.image.artifact import FILEPATH, TITLE

# image-spec config.md and its Docker twin: what a runtime can run.
_IMAGE_CONFIGS = ("application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json")
_UNPACK = "io.deis.oras.content.unpack"  # oras-go content/file/file.go, AnnotationUnpack
# containerd core/images/mediatypes.go, DiffCompression; containers-image has the same.
_OCI_LAYER, _DOCKER_LAYER = "application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"
TAR_TYPES = (_OCI_LAYER, _DOCKER_LAYER)
"""The media types of layers that are tars as they are."""
_GZIPS = (f"{_OCI_LAYER}+gzip", f"{_DOCKER_LAYER}.gzip")
_ZSTDS = (f"{_OCI_LAYER}+zstd", f"{_DOCKER_LAYER}.zstd")

_MOUNTED_AT_MOST = 127  # layers; overlayfs mount options fit one page (moby, buildkit #4810 fails from 70 to 128)
_CRIO_AT_MOST = 500  # layers; containers/storage drivers/overlay/overlay.go, maxDepth


class Answer(StrEnum):
    """Whether a consumer can read the model."""

    YES = "yes"
    PARTLY = "partly"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A consumer, whether it can read the model, and the rule that decides, in one clause."""

    consumer: str
    answer: Answer
    why: str


class LayerDescriptor(Protocol):
    """A layer as a manifest describes it."""

    @property
    def media_type(self) -> str:
        """What its bytes are said to be."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """What else is said of it."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What is known of an image's layers from their bytes; None is not known.

    `model` says that there are model files, `raw` that every model layer is a file as it is and no archive, `plain`
    that every model file's name in its tar begins with `models/`, `sh` that a program of that name is in a layer.
    """

    model: bool | None = None
    raw: bool | None = None
    plain: bool | None = None
    sh: bool | None = None


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What a manifest and its config say; `diff_ids` is their number in the config, None where it has none."""

    config_type: str
    artifact_type: str | None
    layers: Sequence[LayerDescriptor]
    diff_ids: int | None
    contents: Contents = Contents()

    @property
    def is_image(self) -> bool:
        """Whether a runtime takes it for a container image."""
        return self.config_type in _IMAGE_CONFIGS

    @property
    def model_layers(self) -> Sequence[LayerDescriptor]:
        """The layers that may hold the model: where some say what they hold, the others are the base's."""
        return [layer for layer in self.layers if FILES_ANNOTATION in layer.annotations] or self.layers

    @property
    def tars(self) -> Sequence[LayerDescriptor]:
        """The layers that runtimes unpack."""
        return [layer for layer in self.layers if layer.media_type in (*TAR_TYPES, *_GZIPS, *_ZSTDS)]


def consumers(facts: ImageFacts) -> tuple[Verdict, ...]:
    """Return the verdict of every consumer, in the order of how much of this project depends on it."""
    rules = (
        ("kubectl modelcar", _puller),
        ("KServe sidecar (oci://)", _sidecar),
        ("KServe native (oci+native://)", _native),
        ("KServe fetch (oci+fetch://)", _fetch),
        ("image volume (containerd)", _containerd),
        ("image volume (CRI-O)", _crio),
        ("artifact mount (CRI-O)", _crio_artifact),
        ("oras pull", _oras),
        ("podman", _podman),
    )
    return tuple(Verdict(name, *rule(facts)) for name, rule in rules)


Said = tuple[Answer, str]


def _puller(facts: ImageFacts) -> Said:
    # chart/files/puller.py: tar layers below `models/`, or a layer a file with a title.
    layers = facts.model_layers
    readable = [layer for layer in layers if layer in facts.tars or _title(layer)]
    if not readable or facts.contents.model is False:
        return Answer.NO, "no file below models/ and no titled layer"
    if any(layer.media_type in _ZSTDS for layer in layers):
        return Answer.NO, "a layer is compressed with zstd"
    return _if_model(facts, "every layer's digest is checked")


def _sidecar(facts: ImageFacts) -> Said:
    # kserve pkg/utils/storage.go, modelcarCommand: `sh -c "ln -sf /proc/$$/root/models ... && sleep infinity"`.
    refused = _runnable(facts)
    if refused:
        return refused
    if facts.contents.sh is None:
        return Answer.UNKNOWN, "it runs sh, which verify --deep looks for"
    if not facts.contents.sh:
        return Answer.NO, "it runs sh, and there is none in the image: push with --base"
    return _if_model(facts, "models/ and sh are in the image")


def _native(facts: ImageFacts) -> Said:
    # kserve pkg/utils/storage.go, ConfigureOciNativeToContainer: an image volume with subPath `models`.
    return _runnable(facts) or _if_model(facts, "an image volume of Kubernetes 1.33, subPath models")


def _fetch(facts: ImageFacts) -> Said:
    # kserve python/storage/kserve_storage.py, _download_oci: the members that begin with `models/`.
    layers = facts.model_layers
    fit = [layer for layer in layers if layer.media_type in (*TAR_TYPES, *_GZIPS)]
    if any(layer.media_type in _ZSTDS for layer in facts.layers):
        return Answer.NO, "zstd is an error there"
    if not fit or facts.contents.raw:
        return Answer.NO, "layers that are no tar or tar+gzip are skipped"
    if len(fit) < len(layers):
        return Answer.PARTLY, "layers that are no tar or tar+gzip are skipped"
    if facts.contents.plain is False:
        return Answer.NO, "names in the tar must begin with models/, without ./"
    if facts.contents.plain is None:
        return Answer.UNKNOWN, "names must begin with models/, which verify --deep looks at"
    return _if_model(facts, "tar layers whose names begin with models/")


def _containerd(facts: ImageFacts) -> Said:
    # containerd core/unpack/unpacker.go; for artifacts there is no way (issues 11381 and 11907 are open).
    refused = _runnable(facts)
    if refused:
        return refused
    if len(facts.layers) > _MOUNTED_AT_MOST:
        return Answer.PARTLY, f"more than {_MOUNTED_AT_MOST} layers do not fit the mount options of every kernel"
    return _if_model(facts, "containerd 2.0; with subPath 2.2")


def _crio(facts: ImageFacts) -> Said:
    # cri-o internal/ociartifact/store.go: 1.33 takes whatever has an artifactType for an artifact, 1.34 does not.
    refused = _runnable(facts)
    if refused:
        return refused
    if len(facts.layers) > _CRIO_AT_MOST:
        return Answer.NO, f"more than {_CRIO_AT_MOST} layers"
    if facts.artifact_type:
        return Answer.PARTLY, "1.33 takes an image with an artifactType for an artifact, 1.34 does not"
    return _if_model(facts, "CRI-O 1.31; with subPath 1.33")


def _crio_artifact(facts: ImageFacts) -> Said:
    # cri-o server/container_create_linux.go: each layer is a file, named by title or filepath; nothing is unpacked.
    named = [layer for layer in facts.layers if _title(layer)]
    if not named:
        return Answer.NO, "layers without a title or a filepath are left out"
    archives = _archives(facts, named)
    if archives is None:
        return Answer.UNKNOWN, "it unpacks nothing; whether layers are archives shows verify --deep"
    if archives:
        return Answer.NO, "it unpacks nothing: files would be archives"
    if len(named) < len(facts.layers):
        return Answer.PARTLY, "layers without a title or a filepath are left out"
    return Answer.YES, "CRI-O 1.33: a file for each layer"


def _oras(facts: ImageFacts) -> Said:
    # oras cmd/oras/root/pull.go and oras-go content/file/file.go: untitled layers are skipped, with exit code 0.
    layers = facts.model_layers
    titled = [layer for layer in layers if layer.annotations.get(TITLE)]
    if not titled:
        return Answer.NO, "layers without a title are skipped, and exit code 0 says nothing of it"
    unpacked = [layer for layer in titled if layer.annotations.get(_UNPACK) == "true"]
    archives = _archives(facts, [layer for layer in titled if layer not in unpacked])
    if archives is None:
        return Answer.UNKNOWN, "whether titled layers are archives shows verify --deep"
    if archives or any(layer.media_type in TAR_TYPES for layer in unpacked):
        return Answer.NO, "it unpacks gzip alone: a tar would have a model file's name"
    if len(titled) < len(layers):
        return Answer.PARTLY, "layers without a title are skipped"
    return Answer.YES, "a file for each titled layer" if not unpacked else "it unpacks gzip, in twice the space"


def _podman(facts: ImageFacts) -> Said:
    # containers-image image/manifest/oci.go: `unsupported image-specific operation on artifact`.
    if not facts.is_image:
        return Answer.PARTLY, "as an artifact alone: podman artifact pull"
    return _runnable(facts) or _if_model(facts, "as any image: podman pull, podman image mount")


def _runnable(facts: ImageFacts) -> Said | None:
    """Return why runtimes cannot unpack the image, None where they can (image-spec manifest.md and config.md)."""
    if not facts.is_image:
        return Answer.NO, "an artifact is no container image"
    if facts.diff_ids != len(facts.tars):
        return Answer.NO, f"the config has {facts.diff_ids or 0} diff ids for {len(facts.tars)} layers"
    if not facts.tars or facts.contents.raw or facts.contents.model is False:
        return Answer.NO, "no tar layer holds models/"
    lost = [layer for layer in facts.model_layers if layer not in facts.tars]
    return (Answer.PARTLY, "layers that are no tar are not unpacked") if lost else None


def _if_model(facts: ImageFacts, why: str) -> Said:
    if facts.contents.model is None:
        return Answer.UNKNOWN, "whether models/ is in the layers shows verify --deep"
    return Answer.YES, why


def _title(layer: LayerDescriptor) -> str:
    return layer.annotations.get(TITLE) or layer.annotations.get(FILEPATH) or ""


def _archives(facts: ImageFacts, layers: Iterable[LayerDescriptor]) -> bool | None:
    """Tell whether some of `layers` are tars; the type does not: `oras push` calls every file a tar layer."""
    if not any(".tar" in layer.media_type for layer in layers):
        return False
    return None if facts.contents.raw is None else not facts.contents.raw
