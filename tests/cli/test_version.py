"""Tests of `version`."""

import json
import re

import yaml

from kubectl_modelcar import __version__
from tests.conftest import Invoked


class TestVersion:
    def test_text(self, invoke):
        """The number alone."""
        assert invoke("version") == Invoked(0, f"{__version__}\n", "")

    def test_json(self, invoke):
        """One document."""
        assert json.loads(invoke("version", "-o", "json").out) == {"version": __version__}

    def test_yaml(self, invoke):
        """One document."""
        assert yaml.safe_load(invoke("version", "-o", "yaml").out) == {"version": __version__}

    def test_other_format(self, refused):
        """Exit code 2."""
        assert refused("version", "-o", "xml") == (
            2,
            "Invalid value for '-o' / '--output': 'xml' is not one of 'text', 'json', 'yaml'.",
            "kubectl modelcar version --help shows what it takes",
        )

    def test_number(self):
        """Is one that helm, krew and PyPI all take: three numbers (SemVer 2, PEP 440)."""
        assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
