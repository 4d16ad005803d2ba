"""Tests of the connections to the Hub: kept, trusted, proxied, cut."""

import ssl
import threading
import time

import pytest
import trustme
from huggingface_hub import constants

from kubectl_modelcar.errors import NetworkGaveUp
from tests.fakes.hub import FakeHub
from tests.fakes.proxy import FakeProxy
from tests.fakes.registry import Fault
from tests.source.hub_model import FILES, WEIGHTS, listing, opened

STORAGE = "response-content"


@pytest.fixture(scope="module")
def authority():
    """An authority that nobody trusts yet."""
    return trustme.CA()


@pytest.fixture
def trusted(authority, tmp_path, monkeypatch):
    """Trust the authority, as OpenSSL's own variable says."""
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))


@pytest.fixture
def tls_hub(authority, monkeypatch):
    """A Hub and a storage that talk TLS, with a repository."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with FakeHub(tls=context) as hub:
        hub.commit("org/m", FILES)
        monkeypatch.setattr(constants, "ENDPOINT", hub.url)
        yield hub


class TestKept:
    """Connections are made once."""

    def test_one_to_each_origin(self, hub, commit):
        """Whatever is asked: listing, date, headers, files."""
        del commit
        source, file = opened(hub, "w.safetensors")
        source.read(file, 8, 8)
        for _ in range(3):
            assert b"".join(source.chunks(file)) == WEIGHTS
        assert hub.connections == 2

    def test_closed_by_the_other_side(self, hub, commit, waits):
        """Is noticed before it is used, not after a failure."""
        del commit
        hub.faults.append(Fault(path="/commits/", headers={"Connection": "close"}))
        source, file = opened(hub, "config.json")
        assert (b"".join(source.chunks(file)), waits, hub.connections) == (b"{}", [], 2)

    def test_one_that_died_in_silence(self, hub, commit, waits):
        """Its server went away while nothing was asked."""
        del commit
        source, file = opened(hub, "config.json")
        for line in list(source._lines._open):
            line.sock.shutdown(2)
        assert (b"".join(source.chunks(file)), waits, hub.connections) == (b"{}", [], 2)

    def test_no_answer_at_all(self, hub, commit, waits):
        """Asked again."""
        del commit
        source, file = opened(hub, "config.json")
        hub.faults.append(Fault(path="config", lose_answer=True))
        assert (b"".join(source.chunks(file)), len(waits)) == (b"{}", 1)


class TestTls:
    """Who is trusted."""

    def test_own_authority(self, tls_hub, trusted):
        """SSL_CERT_FILE names it."""
        del trusted
        source, file = opened(tls_hub, "w.safetensors")
        assert b"".join(source.chunks(file)) == WEIGHTS

    def test_unknown_authority(self, tls_hub, waits):
        """Is never tried again."""
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert "certificate verify failed" in caught.value.message
        assert (caught.value.hint, waits, tls_hub.log) == (
            "set SSL_CERT_FILE to the authorities to trust, or check the proxy",
            [],
            [],
        )

    def test_no_such_file(self, tls_hub, tmp_path, monkeypatch):
        """A variable that leads nowhere."""
        del tls_hub
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert caught.value.hint == "check the network and SSL_CERT_FILE"

    def test_plain_server(self, hub, commit, monkeypatch):
        """TLS to a port that has none is said at once."""
        del commit
        monkeypatch.setattr(constants, "ENDPOINT", hub.url.replace("http:", "https:"))
        with pytest.raises(NetworkGaveUp) as caught:
            listing()
        assert caught.value.hint == "set SSL_CERT_FILE to the authorities to trust, or check the proxy"


class TestProxy:
    """The environment's own."""

    def test_tunnel(self, tls_hub, trusted, monkeypatch):
        """Both origins are reached through it."""
        del trusted
        with FakeProxy() as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
            source, file = opened(tls_hub, "w.safetensors")
            assert b"".join(source.chunks(file)) == WEIGHTS
            source.stop()
        assert {f"https://{tunnel}" for tunnel in proxy.tunnels} == {tls_hub.url, tls_hub.cdn_url}


@pytest.fixture(params=["plain", "TLS", "proxy"])
def hub_anyhow(request, monkeypatch):
    """A Hub with one repository: plain, by TLS, and by TLS through a proxy."""
    if request.param == "plain":
        hub = request.getfixturevalue("hub")
        hub.commit("org/m", FILES)
        yield hub
        return
    request.getfixturevalue("trusted")
    hub = request.getfixturevalue("tls_hub")
    with FakeProxy() as proxy:
        if request.param == "proxy":
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        yield hub


class TestStop:
    """A push that failed elsewhere waits for nobody."""

    @pytest.mark.parametrize(
        "fault",
        [
            pytest.param({"path": STORAGE, "stall_after": 1_000_000}, id="in the middle of a file"),
            pytest.param({"path": STORAGE, "silent": True}, id="before the storage answers"),
            pytest.param({"path": "/resolve/", "silent": True}, id="before the Hub answers"),
        ],
    )
    def test_ends_a_read_that_stalls(self, hub_anyhow, fault):
        """At once, on every kind of connection, and nothing is asked again."""
        source, file = opened(hub_anyhow, "w.safetensors")
        hub_anyhow.faults.append(Fault(times=-1, **fault))
        stopper = threading.Timer(0.3, source.stop)
        stopper.start()
        started = time.monotonic()
        with pytest.raises(NetworkGaveUp):
            list(source.chunks(file))
        stopper.join()
        assert (time.monotonic() - started < 2, len(hub_anyhow.requests("/resolve/"))) == (True, 1)

    def test_for_good(self, hub, commit):
        """What is asked afterwards is not asked."""
        del commit
        source, file = opened(hub, "w.safetensors")
        source.stop()
        with pytest.raises(NetworkGaveUp):
            list(source.chunks(file))
        assert hub.log == []


class TestStall:
    """Bytes that do not come, or drip."""

    def test_silence(self, hub, commit, waits, monkeypatch):
        """Nothing for a minute: the rest is asked for again, six times in all."""
        del commit
        monkeypatch.setattr("kubectl_modelcar.source.hub._TIMEOUT", 0.1)
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path=STORAGE, stall_after=1000, times=-1))
        with pytest.raises(NetworkGaveUp) as caught:
            list(source.chunks(file))
        assert caught.value.message == (
            f"cannot read w.safetensors of org/m@main: {hub.cdn_url} did not answer (timed out), 6 times in a row"
        )
        assert [request.headers.get("range") for request in hub.cdn_log][-1] == "bytes=5000-"
        assert len(waits) == 5

    def test_less_than_a_kilobyte_a_second(self, hub, commit, waits, monkeypatch):
        """For a minute is a stall, however regularly they come; the rest is asked for again."""
        del commit
        monkeypatch.setattr("kubectl_modelcar.source.hub._PATIENT", 0.2)
        source, file = opened(hub, "w.safetensors")
        hub.faults.append(Fault(path=STORAGE, trickle=0.05))
        assert b"".join(source.chunks(file)) == WEIGHTS
        first, second = hub.cdn_log
        assert (first.headers.get("range"), len(waits)) == (None, 1)
        assert 1 <= int(second.headers["range"].removeprefix("bytes=").removesuffix("-")) < 100

    def test_a_slow_reader_is_no_stall(self, hub, commit, waits, monkeypatch):
        """A registry may take its time."""
        del commit
        monkeypatch.setattr("kubectl_modelcar.source.hub._PATIENT", 0.05)
        source, file = opened(hub, "w.safetensors")
        for _ in source.chunks(file):
            time.sleep(0.02)
        assert waits == []
