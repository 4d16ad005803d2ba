"""Where a server is and how it is trusted."""

import ssl

import pytest
import trustme

from kubectl_modelcar.chat import Endpoint, bearer, trust
from kubectl_modelcar.errors import InvalidInput, LocalFailure


class TestParse:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("http://localhost:8000", "http://localhost:8000"),
            ("http://localhost:8000/", "http://localhost:8000"),
            ("https://llm.example.com/v1", "https://llm.example.com"),
            ("https://llm.example.com/v1/", "https://llm.example.com"),
            ("https://gateway.example.com/api/v1", "https://gateway.example.com/api"),
            ("https://[::1]:8443", "https://[::1]:8443"),
            (
                "https://api:6443/api/v1/namespaces/n/services/http:tiny:http/proxy",
                "https://api:6443/api/v1/namespaces/n/services/http:tiny:http/proxy",
            ),
        ],
    )
    def test_takes_a_url_as_people_paste_it(self, url, expected):
        """The base URL is without `/v1` and without a slash at its end."""
        assert Endpoint.parse(url).base_url == expected

    @pytest.mark.parametrize(
        ("url", "message"),
        [
            ("localhost:8000", "localhost:8000 is not the URL of a model server"),
            ("ftp://example.com", "ftp://example.com is not the URL of a model server"),
            ("https://", "https:// is not the URL of a model server"),
            ("", " is not the URL of a model server"),
            ("http://[::1", "the URL of the model server cannot be read"),
            ("http://host:port", "the URL of the model server cannot be read"),
            (
                "http://host/?key=a",
                "http://host/?key=a is not the URL of a model server: it has a query, a fragment or a space",
            ),
            (
                "http://ho st",
                "http://ho st is not the URL of a model server: it has a query, a fragment or a space",
            ),
            ("https://me:secret@host", "the URL of the model server holds a user name or a password"),
        ],
    )
    def test_refuses_what_cannot_be_meant(self, url, message):
        """Each mistake is named, and a password is never repeated."""
        with pytest.raises(InvalidInput) as caught:
            Endpoint.parse(url)
        assert caught.value.message == message
        assert "secret" not in f"{caught.value.message}{caught.value.hint}"


class TestSecrets:
    def test_a_repr_shows_no_key(self):
        """A repr ends up in logs and tracebacks."""
        assert "sk-canary" not in repr(Endpoint.parse("http://host", headers=bearer("sk-canary")))

    def test_redacts_the_key(self):
        """A server may repeat what it was sent."""
        endpoint = Endpoint.parse("http://host", headers=bearer("sk-canary"))
        assert endpoint.redact("got Bearer sk-canary") == "got Bearer [secret]"

    @pytest.mark.parametrize(
        ("url", "headers", "expected"),
        [
            pytest.param("http://llm.example.com", bearer("k"), True, id="http elsewhere"),
            pytest.param("https://llm.example.com", bearer("k"), False, id="https"),
            pytest.param("http://llm.example.com", {}, False, id="no key"),
            pytest.param("http://localhost:8000", bearer("k"), False, id="localhost"),
            pytest.param("http://127.0.0.2:8000", bearer("k"), False, id="loopback v4"),
            pytest.param("http://[::1]:8000", bearer("k"), False, id="loopback v6"),
            pytest.param("http://10.0.0.1:8000", bearer("k"), True, id="another address"),
        ],
    )
    def test_tells_when_a_key_can_be_read_on_the_way(self, url, headers, expected):
        """Only loopback is private without TLS."""
        assert Endpoint.parse(url, headers=headers).shows_key is expected


class TestBearer:
    def test_makes_the_header(self):
        """The line end that a file leaves is no part of the key."""
        assert bearer("sk-test\n") == {"Authorization": "Bearer sk-test"}

    @pytest.mark.parametrize("key", ["", " ", "sk\ntest", "sk test", "sk-ü", "sk\x1btest"])
    def test_refuses_what_no_header_carries(self, key):
        """The key is not shown."""
        with pytest.raises(InvalidInput) as caught:
            bearer(key)
        assert caught.value.message == "the API key is empty, or holds characters that no HTTP header can carry"


class TestTrust:
    def test_by_default_leaves_it_to_the_system(self):
        """Nothing said means the system's own authorities."""
        assert trust() is None

    def test_a_ca_file_is_the_only_one_trusted(self, tmp_path):
        """As with curl's --cacert, the public authorities are out."""
        trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
        context = trust(tmp_path / "ca.pem")
        assert context is not None
        assert (len(context.get_ca_certs()), context.verify_mode) == (1, ssl.CERT_REQUIRED)

    def test_insecure_believes_anybody(self):
        """It is what the option says."""
        context = trust(insecure=True)
        assert context is not None
        assert (context.check_hostname, context.verify_mode) == (False, ssl.CERT_NONE)

    def test_refuses_both(self, tmp_path):
        """One of them was not meant."""
        with pytest.raises(InvalidInput) as caught:
            trust(tmp_path / "ca.pem", insecure=True)
        assert caught.value.message == "--ca-file and --insecure contradict each other"

    def test_a_missing_file_is_named(self, tmp_path):
        """The disk said no."""
        with pytest.raises(LocalFailure) as caught:
            trust(tmp_path / "none.pem")
        assert caught.value.message == f"cannot read the CA file {tmp_path}/none.pem: No such file or directory"

    def test_a_file_of_something_else_is_named(self, tmp_path):
        """DER, or a key, or a text."""
        (tmp_path / "ca.pem").write_text("hello")
        with pytest.raises(LocalFailure) as caught:
            trust(tmp_path / "ca.pem")
        assert caught.value.message == f"cannot use the CA file {tmp_path}/ca.pem: it holds no certificate in PEM form"
