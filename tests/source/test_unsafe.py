"""Tests of what is refused by its content."""

import bz2
import collections
import datetime as dt
import gzip
import io
import lzma
import pickle
import py_compile
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from kubectl_modelcar.errors import IntegrityFailure, NotFoundOrRefused
from kubectl_modelcar.image import ModelFile
from kubectl_modelcar.source import check_content
from kubectl_modelcar.source.unsafe import HEAD, danger
from tests.source.weights import weights

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)
INNOCENT = "config.json", "tokenizer.model", "vocab.txt", "model.safetensors", "README.md", "LICENSE"


class Evil:
    """An object whose pickle runs a program."""

    def __reduce__(self):
        return print, ("run",)


class State:
    """An object whose pickle makes it anew and sets its attributes."""

    def __init__(self):
        self.a = 1


def tar(kind):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=kind) as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    return made.getvalue()


def zipped():
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("archive/data.pkl", b"x")
    return made.getvalue()


def compiled(tmp_path):
    source = tmp_path / "m.py"
    source.write_text("a = 1\n")
    return Path(py_compile.compile(str(source))).read_bytes()


class TestPickles:
    """Pickles of every protocol, whatever they are called."""

    @pytest.mark.parametrize("name", INNOCENT)
    @pytest.mark.parametrize("protocol", PROTOCOLS)
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(Evil(), id="reduce"),
            pytest.param(State(), id="state"),
            pytest.param(collections.OrderedDict(a=[1, 2]), id="ordered dict"),
            pytest.param([dt.date(2026, 1, 2)], id="nested"),
            pytest.param({"pad": "x" * 2 * HEAD, "then": Evil()}, id="longer than the head"),
        ],
    )
    def test_refused(self, name, protocol, value):
        """The name is no proof."""
        assert danger(name, pickle.dumps(value, protocol)[:HEAD]) == "a pickle"

    @pytest.mark.parametrize("protocol", PROTOCOLS[2:])
    def test_of_plain_data(self, protocol):
        """From protocol 2 on there is a magic, and the whole format is refused."""
        assert danger("config.json", pickle.dumps({"a": 1}, protocol)) == "a pickle"

    @pytest.mark.parametrize(
        "head",
        [
            pytest.param(b"cos\nsystem\n(S'id'\ntR.", id="protocol 0"),
            pytest.param(b"(S'id'\nios\nsystem\n.", id="INST"),
            pytest.param(b"(cos\nsystem\nS'id'\no.", id="OBJ"),
            pytest.param(b"Vos\nVsystem\n\x93(Vid\ntR.", id="STACK_GLOBAL without its protocol"),
            pytest.param(b"cos\nsystem\n(S'id'\ntR0cx\ny z\n.", id="a name that is none, after the deed"),
            pytest.param(b"cmy-module\nrun\n(tR.", id="a module that is no identifier"),
            pytest.param(b"N0\x80\x02cos\nsystem\n(S'id'\ntR.", id="the magic later"),
            pytest.param(b"cos\nsystem\n(S'id'\ntR." + b"rest", id="rubbish after its end"),
        ],
    )
    def test_made_by_hand(self, head):
        """What no library writes and every one reads."""
        assert danger("config.json", head) == "a pickle"


class TestFormats:
    """Whole formats, under an innocent name."""

    @pytest.mark.parametrize(
        ("data", "what"),
        [
            pytest.param(zipped(), "a zip archive (PyTorch's .pt and .bin are pickles in one)", id="zip"),
            pytest.param(b"PK\x05\x06" + bytes(18), "a zip archive", id="empty zip"),
            pytest.param(Path(sys.executable).read_bytes(), "a shared object or program (ELF)", id="ELF"),
            pytest.param(b"MZ\x90\x00", "a Windows program", id="PE"),
            pytest.param(b"\xcf\xfa\xed\xfe", "a shared object or program (Mach-O)", id="Mach-O"),
            pytest.param(b"\xca\xfe\xba\xbe", "a shared object or program (Mach-O, Java)", id="Mach-O universal"),
            pytest.param(gzip.compress(b"x"), "a gzip archive", id="gzip"),
            pytest.param(bz2.compress(b"x"), "a bzip2 archive", id="bzip2"),
            pytest.param(lzma.compress(b"x"), "an xz archive", id="xz"),
            pytest.param(b"\x28\xb5\x2f\xfd\x04", "a zstd archive", id="zstd"),
            pytest.param(b"7z\xbc\xaf\x27\x1c", "a 7z archive", id="7z"),
            pytest.param(b"Rar!\x1a\x07", "a rar archive", id="rar"),
            pytest.param(b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras runs code from one)", id="HDF5"),
            pytest.param(b"\x93NUMPY\x01\x00", "a numpy file (it may hold pickles)", id="numpy"),
            pytest.param(b"#!/bin/sh\n", "a script", id="script"),
            pytest.param(tar(tarfile.USTAR_FORMAT), "a tar archive", id="tar"),
            pytest.param(tar(tarfile.GNU_FORMAT), "a tar archive", id="GNU tar"),
            pytest.param(tar(tarfile.PAX_FORMAT), "a tar archive", id="PAX tar"),
        ],
    )
    def test_refused(self, data, what):
        """By its first bytes."""
        assert danger("config.json", data[:HEAD]) == what

    def test_compiled_python(self, tmp_path):
        """The magic changes with each Python; its end does not."""
        assert danger("config.json", compiled(tmp_path)) == "compiled Python"

    @pytest.mark.parametrize(
        ("name", "what"),
        [
            pytest.param("modeling_x.py", "Python", id="Python"),
            pytest.param("demo.ipynb", "Python", id="notebook"),
            pytest.param("pytorch_model.bin", "a pickle by its name", id="bin"),
            pytest.param("a/b/consolidated.00.PTH", "a pickle by its name", id="capitals"),
            pytest.param("lib.so", "a program by its name", id="shared object"),
            pytest.param("model.h5", "a format that may hold code", id="h5"),
        ],
    )
    def test_by_name(self, name, what):
        """An empty or strange file of a name that loaders run."""
        assert danger(name, b"{}") == what


class TestHarmless:
    """What models are made of."""

    @pytest.mark.parametrize(
        ("name", "head"),
        [
            pytest.param("config.json", b'{"architectures": ["LlamaForCausalLM"]}', id="config"),
            pytest.param("tokenizer.model", b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02", id="SentencePiece"),
            pytest.param("qwen.tiktoken", b"IQ== 0\nIg== 1\n", id="tiktoken"),
            pytest.param("vocab.txt", b"[PAD]\n[UNK]\nc\n.\n(\nR\n", id="vocabulary of opcodes"),
            pytest.param("merges.txt", b"#version: 0.2\n\xc4\xa0 t\n", id="merges"),
            pytest.param("README.md", b"---\nlicense: mit\n---\n# Model\n", id="model card"),
            pytest.param("README.md", "Größe\r\nModel\r\n".encode(), id="Windows lines"),
            pytest.param("notes.txt", b"c\nd\ne.\n(x)\nthat is all.", id="letters that are opcodes"),
            pytest.param("notes.txt", b"I can not\nsee\nit.", id="text that begins as a number"),
            pytest.param("LICENSE", b"Permission is hereby granted.\n" * 200, id="licence"),
            pytest.param("words.txt", b"cab\ncad\n" * HEAD, id="words that are opcodes"),
            pytest.param("chat_template.jinja", b"{% for m in messages %}", id="template"),
            pytest.param("model.safetensors", weights(1000), id="weights"),
            pytest.param("model.gguf", b"GGUF\x03\x00\x00\x00", id="GGUF"),
            pytest.param("empty.txt", b"", id="empty"),
            pytest.param("short.txt", b"\x80", id="one byte"),
        ],
    )
    def test_passes(self, name, head):
        """Nothing is said."""
        assert danger(name, head[:HEAD]) is None


class TestCheckContent:
    """The check as a push makes it."""

    @staticmethod
    def check(name, data, **options):
        check_content(ModelFile(name, len(data)), lambda at, length: data[at : at + length], **options)

    def test_refusal(self):
        """Which file, what it is, what to do."""
        with pytest.raises(NotFoundOrRefused) as caught:
            self.check("config.json", pickle.dumps(Evil()))
        assert (caught.value.message, caught.value.hint) == (
            "config.json is a pickle: loading it can run code",
            "leave it out with --exclude, or accept it with --allow-unsafe",
        )

    def test_allowed(self):
        """The user's own word."""
        self.check("pytorch_model.bin", zipped(), allow_unsafe=True)

    def test_a_broken_header_is_no_matter_of_trust(self):
        """Allowing code does not allow a file that cannot be loaded."""
        with pytest.raises(IntegrityFailure):
            self.check("model.safetensors", b"{}", allow_unsafe=True)

    def test_at_most_the_head_is_read(self):
        """A file that is not safetensors is judged by its first 4 KiB."""
        asked = []
        check_content(ModelFile("a.txt", 2**40), lambda *wanted: asked.append(wanted) or b"text")
        assert asked == [(0, HEAD)]
