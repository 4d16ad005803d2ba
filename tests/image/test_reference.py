"""Tests of the names of images."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubectl_modelcar.errors import InvalidInput
from kubectl_modelcar.image import ImageReference, LayoutReference, parse_location

DIGEST = "sha256:" + "0123456789abcdef" * 4
HINT = "write it as HOST/REPO[:TAG] (for example quay.io/me/granite:1) or oci:FOLDER[:TAG]"


class TestGood:
    """What can be meant."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("quay.io/me/m", ImageReference("quay.io", "me/m"), id="no tag"),
            pytest.param("quay.io/me/m:1.0_b-c", ImageReference("quay.io", "me/m", "1.0_b-c"), id="tag"),
            pytest.param(f"quay.io/me/m@{DIGEST}", ImageReference("quay.io", "me/m", None, DIGEST), id="digest"),
            pytest.param(f"quay.io/m:1@{DIGEST}", ImageReference("quay.io", "m", "1", DIGEST), id="tag and digest"),
            pytest.param("localhost/m", ImageReference("localhost", "m"), id="localhost"),
            pytest.param("localhost:5000/m:1", ImageReference("localhost:5000", "m", "1"), id="port"),
            pytest.param("registry:5000/m", ImageReference("registry:5000", "m"), id="single label with a port"),
            pytest.param("127.0.0.1:5000/m", ImageReference("127.0.0.1:5000", "m"), id="IPv4"),
            pytest.param("[::1]:5000/m:1", ImageReference("[::1]:5000", "m", "1"), id="IPv6"),
            pytest.param("[::1]/m", ImageReference("[::1]", "m"), id="IPv6 without a port"),
            pytest.param("a.b/c/d/e/f", ImageReference("a.b", "c/d/e/f"), id="deep"),
            pytest.param("a.b/a__b/c.d/e--f_g", ImageReference("a.b", "a__b/c.d/e--f_g"), id="separators"),
            pytest.param("a.b/m:" + "t" * 128, ImageReference("a.b", "m", "t" * 128), id="longest tag"),
            pytest.param("A.Example.COM/m", ImageReference("A.Example.COM", "m"), id="capital host"),
            pytest.param("oci:/srv/m", LayoutReference(Path("/srv/m")), id="layout"),
            pytest.param("oci:m:v1", LayoutReference(Path("m"), "v1"), id="layout with a tag"),
            pytest.param("oci:/a:b/c", LayoutReference(Path("/a:b/c")), id="layout with a colon in a folder"),
            pytest.param("oci:./m:latest", LayoutReference(Path("m"), "latest"), id="layout relative"),
            pytest.param(
                "oci:m@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                LayoutReference(
                    Path("m"), None, "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                ),
                id="layout with a digest",
            ),
            pytest.param(
                "oci:m:1@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                LayoutReference(
                    Path("m"), "1", "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                ),
                id="layout with both",
            ),
        ],
    )
    def test_parse(self, text, expected):
        """The parts land where they belong."""
        assert parse_location(text) == expected

    def test_text(self):
        """The canonical text, without and with its parts."""
        reference = parse_location(f"quay.io/me/m:1@{DIGEST}")
        assert (str(reference), reference.name) == (f"quay.io/me/m:1@{DIGEST}", "quay.io/me/m")

    def test_text_of_a_layout(self):
        """The folder as it was typed, and the tag."""
        location = parse_location("oci:/srv/m:1")
        assert (str(location), location.name, location.target) == ("oci:/srv/m:1", "oci:/srv/m", "1")

    @pytest.mark.parametrize(
        ("text", "target"),
        [
            pytest.param("a.b/m", "latest", id="neither"),
            pytest.param("a.b/m:1", "1", id="tag"),
            pytest.param(f"a.b/m:1@{DIGEST}", DIGEST, id="the digest is what is meant"),
            pytest.param("oci:m", "", id="a layout's only image"),
        ],
    )
    def test_target(self, text, target):
        """What the registry is asked for."""
        assert parse_location(text).target == target

    def test_at(self):
        """Pinned: no tag is left that could move."""
        assert parse_location("a.b/m:1").at(DIGEST) == ImageReference("a.b", "m", None, DIGEST)


class TestBad:
    """What cannot be meant, and what is said of it."""

    @pytest.mark.parametrize(
        ("text", "problem"),
        [
            pytest.param("", "does not name its registry", id="empty"),
            pytest.param("granite", "does not name its registry", id="a bare name"),
            pytest.param("me/granite:1", "does not name its registry", id="Docker Hub's short form"),
            pytest.param("quay.io", "does not name its registry", id="a host alone"),
            pytest.param("quay.io/", "is not valid: repository ''", id="no repository"),
            pytest.param("quay.io/Me/M", "is not valid: repository 'Me/M'", id="capitals"),
            pytest.param("quay.io/me//m", "is not valid: repository 'me//m'", id="empty part"),
            pytest.param("quay.io/me/m/", "is not valid: repository 'me/m/'", id="slash at the end"),
            pytest.param("quay.io/a___b", "is not valid: repository 'a___b'", id="three underscores"),
            pytest.param("quay.io/-m", "is not valid: repository '-m'", id="dash first"),
            pytest.param("quay.io/../m", "is not valid: repository '../m'", id="dots"),
            pytest.param("quay.io/m:", "is not valid: tag ''", id="empty tag"),
            pytest.param("quay.io/m:-1", "is not valid: tag '-1'", id="tag with a dash first"),
            pytest.param("quay.io/m:" + "t" * 129, f"is not valid: tag '{'t' * 129}'", id="long tag"),
            pytest.param("quay.io/m:1\n", "is not valid: tag '1\\n'", id="newline"),
            pytest.param("quay.io/m@", "is not valid: digest ''", id="empty digest"),
            pytest.param("quay.io/m@sha256:12", "is not valid: digest 'sha256:12'", id="short digest"),
            pytest.param("quay.io/m@md5:12", "is not valid: digest 'md5:12'", id="other algorithm"),
            pytest.param("https://quay.io/m", "is no URL", id="URL"),
            pytest.param("oci://quay.io/m", "is no URL", id="helm's way to say a registry"),
            pytest.param("oci:m:v1:v2", "is not valid: folder 'm:v1' with a colon in its name", id="two tags"),
            pytest.param("user:pw@quay.io/m", "does not name its registry", id="credentials"),
            pytest.param("-a.b/m", "is not valid: host '-a.b'", id="host with a dash first"),
            pytest.param("a.b:0/m", "is not valid: host 'a.b:0'", id="port 0"),
            pytest.param("a.b:65536/m", "is not valid: host 'a.b:65536'", id="port too large"),
            pytest.param("a.b:x/m", "is not valid: host 'a.b:x'", id="port no number"),
            pytest.param("a.b:/m", "is not valid: host 'a.b:'", id="port empty"),
            pytest.param("a.b/" + "r" * 300, f"is not valid: repository '{'r' * 300}'", id="name too long"),
            pytest.param("oci:", "is not valid: the folder is missing", id="layout without a folder"),
            pytest.param("oci::1", "is not valid: the folder is missing", id="layout with a tag alone"),
            pytest.param("oci:m:a b", "is not valid: tag 'a b'", id="layout with a bad tag"),
            pytest.param("oci:m:", "is not valid: tag ''", id="layout with an empty tag"),
            pytest.param("oci:a\0b", "is not valid: the folder holds a NUL", id="NUL"),
        ],
    )
    def test_refused(self, text, problem):
        """Each says which part, and how it should look."""
        with pytest.raises(InvalidInput) as caught:
            parse_location(text)
        assert (caught.value.message, caught.value.hint) == (f"image {text!r} {problem}", HINT)

    def test_all_problems_at_once(self):
        """Nobody corrects one part only to hear of the next."""
        with pytest.raises(InvalidInput) as caught:
            parse_location("a..b/M:?@sha256:0")
        assert caught.value.message == (
            "image 'a..b/M:?@sha256:0' is not valid: host 'a..b', repository 'M', tag '?', digest 'sha256:0'"
        )


_PART = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,2}", fullmatch=True)
_REFERENCES = st.builds(
    ImageReference,
    st.one_of(
        st.sampled_from(["quay.io", "localhost", "localhost:5000", "[::1]:5000", "10.0.0.1:65535"]),
        st.from_regex(r"[a-z0-9]{1,10}(\.[a-z0-9]{1,10}){1,3}(:[1-9][0-9]{0,3})?", fullmatch=True),
    ),
    st.lists(_PART, min_size=1, max_size=4).map("/".join),
    st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,30}", fullmatch=True),
    st.none() | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)


class TestRoundTrip:
    """Text and value say the same."""

    @given(_REFERENCES)
    def test_value_text_value(self, reference):
        """The canonical text parses to the value that it came from."""
        assert parse_location(str(reference)) == reference

    @given(st.text(max_size=80))
    def test_any_text(self, text):
        """Any text is a location that says it again, or is refused; nothing else happens."""
        try:
            location = parse_location(text)
        except InvalidInput:
            return
        assert parse_location(str(location)) == location
