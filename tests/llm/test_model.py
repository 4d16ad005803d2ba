"""The small model is a Hugging Face folder, the same bytes on every machine."""

import hashlib
import json

import pytest

from tests.llm.layout import gguf_name, hugging_face_name

pytestmark = pytest.mark.model

DIGESTS = {
    "config.json": "9cc9bcc3f1fe48e3234d547222bc8a501173ba13350bd5bc47e6a03b5a6e7f93",
    "generation_config.json": "8025b6679dcf077f5d339bd154238d70891decb48f35f294bfaa33a343140439",
    "model-00001-of-00003.safetensors": "941f47b363b12b2cfb32f6259935f110aed6acfceca29c1f129236ab741a5d13",
    "model-00002-of-00003.safetensors": "2337d0d5f88d206e79a9623921a9744b8d10d4963ca656033dee7d169edce0f4",
    "model-00003-of-00003.safetensors": "fc8d95db6e77862dbf1e7399b7d3d0b1ad36a4ddbf66d0dcaf27104a71785e15",
    "model.safetensors.index.json": "3e938ba410589f42fe0ed664c25d0aecf0c1eedff294b54fd101c108a06ba26a",
    "special_tokens_map.json": "5134708447a25ca51f4bed529d728d0f84d79c3296201435d34b8583140c234e",
    "tokenizer.json": "303cc074c1fc1dd1e5a25475af43df39818c80f10f6821171369b5b5414c5c0e",
    "tokenizer_config.json": "282f2eee74c0756ae841eb56131f7f33d2585e801f28e9eaf53d97d79a11a3c8",
}


class TestFolder:
    """What `python -m tests.llm.prepare` makes."""

    def test_bytes(self, smollm2):
        """Every file is the one that was measured against transformers and vLLM."""
        found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in smollm2.iterdir()}
        assert found == DIGESTS

    def test_index_covers_the_shards(self, smollm2):
        """The index names each tensor of each shard once, and their bytes."""
        index = json.loads((smollm2 / "model.safetensors.index.json").read_text())
        inside, size = {}, 0
        for file in smollm2.glob("*.safetensors"):
            with file.open("rb") as stream:
                header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
            del header["__metadata__"]
            inside |= dict.fromkeys(header, file.name)
            size += sum(end - start for start, end in (tensor["data_offsets"] for tensor in header.values()))
        assert index == {"metadata": {"total_size": size}, "weight_map": inside}
        assert (len(inside), size) == (272, 269_030_016)


class TestNames:
    """Tensor names go from one layout to the other and back."""

    def test_round_trip(self, smollm2):
        """Each name of the model survives the way to llama.cpp's names and back."""
        names = json.loads((smollm2 / "model.safetensors.index.json").read_text())["weight_map"]
        assert [name for name in names if hugging_face_name(gguf_name(name)) != name] == []

    def test_unknown(self):
        """A tensor that no Llama has is named in the error."""
        with pytest.raises(ValueError, match=r"no module or parameter named 'model\.visual\.weight'"):
            gguf_name("model.visual.weight")
