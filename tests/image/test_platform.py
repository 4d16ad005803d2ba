"""Tests of platforms as they are typed and as images write them."""

import pytest

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import Platform, parse_platform


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        pytest.param("linux/amd64", Platform("linux", "amd64"), id="usual"),
        pytest.param("linux/arm64/v8", Platform("linux", "arm64", "v8"), id="variant"),
        pytest.param("linux/ppc64le", Platform("linux", "ppc64le"), id="power"),
        pytest.param("linux/s390x", Platform("linux", "s390x"), id="mainframe"),
    ],
)
def test_parse(text, platform):
    """Two parts or three, and printed as typed."""
    assert (parse_platform(text), str(platform)) == (platform, text)


@pytest.mark.parametrize("text", ["", "linux", "linux/", "/amd64", "linux/amd64/v1/x", "linux/AMD64", "linux/a b", "*"])
def test_what_is_none(text):
    """Is refused with an example."""
    with pytest.raises(InvalidInput) as caught:
        parse_platform(text)
    assert (caught.value.message, caught.value.hint) == (
        f"platform {text!r} is not OS/ARCHITECTURE[/VARIANT]",
        "for example linux/amd64 or linux/arm64",
    )


@pytest.mark.parametrize(("text", "hint"), [("linux/x86_64", "linux/amd64"), ("linux/aarch64", "linux/arm64")])
def test_names_of_uname(text, hint):
    """No image has them: the name that images have is given."""
    with pytest.raises(InvalidInput) as caught:
        parse_platform(text)
    assert caught.value.hint == f"write {hint}"


@pytest.mark.parametrize(
    ("text", "normal"),
    [("linux/arm64/v8", "linux/arm64"), ("linux/arm/v8", "linux/arm/v8"), ("linux/amd64/v2", "linux/amd64/v2")],
)
def test_normal_form(text, normal):
    """Arm64 is v8 without saying so; every other variant says something."""
    assert str(parse_platform(text).normal) == normal


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("linux/amd64", {"architecture": "amd64", "os": "linux"}),
        ("linux/arm/v7", {"architecture": "arm", "os": "linux", "variant": "v7"}),
    ],
)
def test_json(text, data):
    """As image-index.md has it."""
    assert parse_platform(text).to_json() == data
