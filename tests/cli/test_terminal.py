"""A push and a pull on a terminal, as a person sees them."""

import sys

import pytest

from tests.chat.terminal import Terminal
from tests.source.weights import weights

PROGRAM = (sys.executable, "-m", "kubectl_modelcar")


@pytest.fixture
def model(tmp_path):
    """A folder with two files that are layers of their own."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for name in ("a", "b"):
        (folder / f"{name}.safetensors").write_bytes(weights(70 << 20))
    return folder


def test_the_result_is_the_last_line_and_no_bar_stays(model, tmp_path):
    """Bars are for the time that it takes; what comes after them is read, copied and piped."""
    push = Terminal([*PROGRAM, "push", str(model), f"oci:{tmp_path / 'layout'}:v1"])
    assert push.end() == 0
    pull = Terminal([*PROGRAM, "pull", f"oci:{tmp_path / 'layout'}:v1", str(tmp_path / "pulled")])
    assert pull.end() == 0
    seen = [push.transcript.splitlines(), pull.transcript.splitlines()]
    assert [line for lines in seen for line in lines if "\N{BOX DRAWINGS HEAVY HORIZONTAL}" in line] == []
    assert seen[0][-1].startswith(f"oci:{tmp_path / 'layout'}@sha256:")
    assert seen[1][-1] == str(tmp_path / "pulled")
