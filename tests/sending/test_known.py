"""Tests of what is known of layers before their files are read."""

import pytest

from kubectl_modelcar.image import LAYER_TYPE, Descriptor, LayerPlan, ModelFile, RawLayer, layer_descriptor
from kubectl_modelcar.memory import KnownLayer, Memory
from kubectl_modelcar.sending import Known

A, B, C = "a" * 64, "b" * 64, "c" * 40
DIGEST = "sha256:" + "d" * 64
WEIGHT, CONFIG = ModelFile("w.safetensors", 9, sha256=A), ModelFile("config.json", 2, git=C)


class Stamping:
    """A source that tells files apart as it is told to."""

    rereadable = True

    def __init__(self, stamp=lambda file: file.sha256 or file.git):
        self.stamp = stamp


def known(memory, *images, source=None, accepts=""):
    return Known(source or Stamping(), memory, iter(images), accepts=accepts)


def layer(*files, digest=DIGEST):
    """Return how an image describes a layer of these files."""
    return layer_descriptor(LayerPlan(files), digest, {file.path: file.sha256 or B for file in files})


@pytest.fixture
def memory(tmp_path):
    return Memory(tmp_path)


class TestImages:
    """Layers of images that are there."""

    @pytest.mark.parametrize(
        ("files", "there", "expected"),
        [
            pytest.param([WEIGHT], [WEIGHT], True, id="by sha256"),
            pytest.param([CONFIG], [CONFIG], True, id="by git's id"),
            pytest.param([CONFIG, WEIGHT], [CONFIG, WEIGHT], True, id="both"),
            pytest.param([WEIGHT], [ModelFile("w.safetensors", 9, sha256=B)], False, id="other bytes"),
            pytest.param([CONFIG], [ModelFile("config.json", 2, git="e" * 40)], False, id="other blob"),
            pytest.param([WEIGHT], [ModelFile("v.safetensors", 9, sha256=A)], False, id="other name"),
            pytest.param([WEIGHT], [CONFIG, WEIGHT], False, id="one of two"),
            pytest.param([ModelFile("w.safetensors", 9)], [WEIGHT], False, id="nothing known of the file"),
        ],
    )
    def test_same_files(self, memory, files, there, expected):
        """Are the same layer."""
        found = known(memory, [layer(*there)]).find(LayerPlan(tuple(files)))
        assert (found and found.digest) == (DIGEST if expected else None)

    def test_sha256_of_the_files(self, memory):
        """Come with it, so that the manifest is the same as if they had been read."""
        found = known(memory, [layer(CONFIG)]).find(LayerPlan((CONFIG,)))
        assert found == KnownLayer(DIGEST, LayerPlan((CONFIG,)).size, {"config.json": B})

    def test_files_without_sha256(self, memory):
        """An image that does not remember all of them would not give the same manifest."""
        old = layer_descriptor(LayerPlan((CONFIG,)), DIGEST)
        assert known(memory, [old]).find(LayerPlan((CONFIG,))) is None

    def test_another_kind_of_layer(self, memory):
        """A raw file is no tar."""
        raw = layer_descriptor(RawLayer(WEIGHT), "sha256:" + A)
        assert known(memory, [raw]).find(LayerPlan((WEIGHT,))) is None

    def test_a_foreign_layer(self, memory):
        """What says nothing of its files teaches nothing."""
        assert known(memory, [Descriptor(LAYER_TYPE, DIGEST, 2048)]).find(LayerPlan((WEIGHT,))) is None

    def test_looks_no_further_than_it_has_to(self, memory):
        """Each image costs a request."""
        asked = []

        def images():
            for number in range(3):
                asked.append(number)
                yield [layer(WEIGHT if number == 1 else CONFIG)]

        found = Known(Stamping(), memory, images())
        assert found.find(LayerPlan((WEIGHT,)))
        assert found.find(LayerPlan((CONFIG,)))
        assert asked == [0, 1]

    def test_a_raw_file(self, memory):
        """Its digest is known beforehand; that somebody looked into it is not."""
        plan = RawLayer(WEIGHT)
        assert known(memory).find(plan) is None
        assert known(memory, [layer_descriptor(plan, "sha256:" + A)]).find(plan).digest == "sha256:" + A

    def test_resembles(self, memory):
        """A layer of the same size in the first image is worth a look."""
        plan = LayerPlan((ModelFile("w.safetensors", 9),))
        assert known(memory, [layer(WEIGHT)]).resembles(plan)
        assert not known(memory, [layer(CONFIG, WEIGHT)]).resembles(plan)


class TestMemory:
    """Layers that this machine made."""

    PLAN = LayerPlan((ModelFile("w.safetensors", 9),))

    def test_recalls(self, memory):
        """By what the source says of the files."""
        made = known(memory, source=Stamping(lambda _: "7:12:9"))
        layer = KnownLayer(DIGEST, self.PLAN.size, {"w.safetensors": A})
        memory.learn(made.key(self.PLAN), layer)
        assert made.find(self.PLAN) == layer

    @pytest.mark.parametrize(
        ("stamp", "accepts"),
        [
            pytest.param("8:12:9", "", id="changed"),
            pytest.param(None, "", id="unknown"),
            pytest.param("7:12:9", "unsafe", id="less was checked then"),
        ],
    )
    def test_does_not_recall(self, memory, stamp, accepts):
        """What may be something else."""
        before = known(memory, source=Stamping(lambda _: "7:12:9"))
        memory.learn(before.key(self.PLAN), KnownLayer(DIGEST, self.PLAN.size, {}))
        assert known(memory, source=Stamping(lambda _: stamp), accepts=accepts).find(self.PLAN) is None

    def test_checks_are_remembered(self, memory):
        """Of the same files together, and of no others."""
        plans = [LayerPlan((CONFIG,)), LayerPlan((WEIGHT,))]
        known(memory).note_checked(plans)
        assert known(memory).were_checked(plans)
        assert not known(memory).were_checked(plans[1:])

    def test_files_of_an_image_were_checked(self, memory):
        """All of its files, not some."""
        made = known(memory, [layer(CONFIG), layer(WEIGHT)])
        plans = [LayerPlan((CONFIG,)), LayerPlan((WEIGHT,))]
        assert made.find(plans[1])
        assert (made.were_checked(plans), made.were_checked(plans[1:])) == (True, False)
