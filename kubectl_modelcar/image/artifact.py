"""A model as an artifact of CNCF ModelPack: one raw layer a file (github.com/modelpack/model-spec 0.0.7, docs/spec.md).

A layer is the file itself, so its digest is the file's own sha256, which the Hub tells beforehand of all large files.
`oras pull` writes such layers by their title, `modctl` and CRI-O by their filepath; no runtime unpacks them.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

from kubectl_modelcar.image.annotations import LICENSES, RECIPE_ANNOTATION, REVISION, SOURCE, compact
from kubectl_modelcar.image.layer import RECIPE, ModelFile
from kubectl_modelcar.image.manifest import MANIFEST_TYPE, Descriptor, Document, require_small_manifest

ARTIFACT_TYPE = "application/vnd.cncf.model.manifest.v1+json"  # model-spec specs-go/v1/mediatype.go, as those below
ARTIFACT_CONFIG_TYPE = "application/vnd.cncf.model.config.v1+json"
_WEIGHT = "application/vnd.cncf.model.weight.v1.raw"
_CONFIG = "application/vnd.cncf.model.weight.config.v1.raw"
_CODE = "application/vnd.cncf.model.code.v1.raw"
_DOC = "application/vnd.cncf.model.doc.v1.raw"

TITLE = "org.opencontainers.image.title"  # image-spec annotations.md: the name under which `oras pull` writes
FILEPATH = "org.cncf.model.filepath"  # model-spec docs/annotations.md

# What modctl (pkg/modelfile/constants.go) takes for each kind of file, in its order, as far as models have such files;
# the tokenizers that it has no pattern for are added to the configs.
_CONFIGS = (
    "*.json *.jsonl *.json5 *.jsonc *.yaml *.yml *.toml *.ini *.cfg *.conf *.xml *.config *.properties *.params "
    "*tokenizer.model* *.tiktoken tiktoken.model vocab.txt merges.txt added_tokens.txt spiece.model "
    "sentencepiece*.model sentencepiece*.vocab *.jinja *.jinja2 *.bpe *.spm *.vocab *.model"
)
_WEIGHTS = (
    "*.safetensors *.gguf *.gguf.* *.ggml *.bin *.bin.* *.pt *.pth *.pt2 *.pte *.onnx *.onnx_data* *.h5 *.hdf5 "
    "*.pb *.tflite *.ckpt *.msgpack *.pkl *.pickle *.npy *.npz *.keras *.joblib *.engine *.llamafile *.mlmodel"
)
_CODES = "*.py *.ipynb *.sh *.c *.h *.cpp *.cu *.js *.ts *.go *.rs *.so"
_DOCS = "*.txt *.md *.pdf *.rst *.html license* licence* notice* copying* readme* use_policy* *.jpg *.jpeg *.png"
_KINDS = ((_CONFIG, _CONFIGS), (_WEIGHT, _WEIGHTS), (_CODE, _CODES), (_DOC, _DOCS))
_LARGE_UNKNOWN = 128 * 10**6  # bytes; modctl's WeightFileSizeThreshold: what is larger and of no known kind is a weight

_FORMATS = {".safetensors": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}  # model-spec docs/config.md, "format"
_PRECISIONS = re.compile(r"float(16|32|64)|bfloat16|u?int(8|16|32|64)|float8_e(4m3|5m2)")  # there, "precision"


@dataclass(frozen=True, slots=True)
class RawLayer:
    """A file as a layer: its bytes and nothing else."""

    file: ModelFile

    @property
    def files(self) -> tuple[ModelFile, ...]:
        """The one file."""
        return (self.file,)

    @property
    def name(self) -> str:
        """What to call the layer when talking to people: the file's path."""
        return self.file.path

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.file.size

    @property
    def media_type(self) -> str:
        """The media type of ModelPack for this kind of file, by its name."""
        name = PurePosixPath(self.file.path).name.lower()
        for kind, patterns in _KINDS:
            if any(fnmatchcase(name, pattern) for pattern in patterns.split()):
                return kind
        return _WEIGHT if self.file.size > _LARGE_UNKNOWN else _CODE

    @property
    def digest(self) -> str | None:
        """The layer's digest, where the file's sha256 is known."""
        return f"sha256:{self.file.sha256}" if self.file.sha256 else None

    @property
    def annotations(self) -> Mapping[str, str]:
        """The file's path, for those who pull artifacts."""
        return {TITLE: self.file.path, FILEPATH: self.file.path}

    def parts(self) -> Iterator[bytes | ModelFile]:
        """Yield the file."""
        yield self.file

    def sha256_from(self, digest: str) -> Mapping[str, str]:
        """Return the file's sha256: the digest's hex."""
        return {self.file.path: digest.removeprefix("sha256:")}


def plan_artifact(files: Sequence[ModelFile]) -> tuple[RawLayer, ...]:
    """Make each file a layer, sorted by path; nothing is mounted over anything, so their number has no limit.

    Raises InvalidInput when there are more than a manifest can name.
    """
    plans = tuple(RawLayer(file) for file in sorted(files, key=lambda file: file.path))
    require_small_manifest(plans)
    return plans


def artifact_config(
    layers: Sequence[Descriptor],
    *,
    created: str,
    facts: Mapping[str, str] | None = None,
    model: Mapping[str, Any] | None = None,
) -> Document:
    """Make the config of an artifact (model-spec docs/config.md and schema/config-schema.json).

    `created` is RFC 3339, `facts` are the manifest's annotations, `model` is the model's own `config.json`.
    """
    facts, model = facts or {}, model or {}
    source = facts.get(SOURCE, "")
    general = {
        "createdAt": created,
        "family": _text(model.get("model_type")),
        "name": source.rstrip("/").rpartition("/")[2],
        "sourceURL": source,
        "revision": facts.get(REVISION),
        "licenses": [facts[LICENSES]] if facts.get(LICENSES) else None,
    }
    quantization = model.get("quantization_config")
    technical = {
        "format": _format(layers),
        "precision": _precision(model),
        "quantization": _text(quantization.get("quant_method")) if isinstance(quantization, dict) else None,
    }
    config = {
        "descriptor": {key: value for key, value in general.items() if value},
        "config": {key: value for key, value in technical.items() if value},
        "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
    }
    return Document(ARTIFACT_CONFIG_TYPE, compact(config).encode())


def artifact_manifest(config: Document, layers: Sequence[Descriptor], annotations: Mapping[str, str]) -> Document:
    """Make the manifest of an artifact; runtimes that would run it see by its types that they cannot."""
    manifest = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": config.descriptor.to_json(),
        "layers": [layer.to_json() for layer in layers],
        "annotations": dict(sorted({**annotations, RECIPE_ANNOTATION: RECIPE}.items())),
    }
    return Document(MANIFEST_TYPE, compact(manifest).encode())


def _format(layers: Sequence[Descriptor]) -> str | None:
    """Return the format of the weights where all have one."""
    weights = {
        PurePosixPath(layer.annotations.get(TITLE, "")).suffix for layer in layers if layer.media_type == _WEIGHT
    }
    return _FORMATS.get(weights.pop()) if len(weights) == 1 else None


def _precision(model: Mapping[str, Any]) -> str | None:
    """Return the data type that `config.json` names, in older files as torch's; a type that the spec lacks is none."""
    found = _text(model.get("dtype")) or _text(model.get("torch_dtype")) or ""
    return found if _PRECISIONS.fullmatch(found) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value.isprintable() else None
