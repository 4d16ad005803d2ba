"""The fake Hub answers as huggingface.co does, read by http.client and by the real client."""

import hashlib
import http.client
import json
import time
from contextlib import closing
from urllib.parse import urlsplit

import pytest
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from tests.fakes.hub import SIGNATURE, TOKEN, Repository
from tests.fakes.registry import Fault

WEIGHTS = bytes(range(256)) * 4
FILES = {"config.json": b"{}", "sub dir/w.safetensors": WEIGHTS}


@pytest.fixture
def commit(hub):
    return hub.commit("org/m", FILES)


def get(url, method="GET", timeout=5, **headers):
    """Ask once; return status, headers and body."""
    parts = urlsplit(url)
    with (
        closing(http.client.HTTPConnection(parts.netloc, timeout=timeout)) as connection,
        closing(_ask(connection, method, parts.path + (f"?{parts.query}" if parts.query else ""), headers)) as answer,
    ):
        return answer.status, answer.headers, answer.read()


def _ask(connection, method, path, headers):
    connection.request(method, path, headers=headers)
    return connection.getresponse()


class TestFiles:
    def test_a_small_file_comes_from_the_hub_itself(self, hub, commit):
        """With git's own name as ETag, and the commit."""
        status, headers, body = get(f"{hub.url}/org/m/resolve/main/config.json")
        assert (status, body, headers["X-Repo-Commit"]) == (200, b"{}", commit)
        assert headers["ETag"] == '"9e26dfeeb6e641a33dae4961196235bdb965b21b"'  # printf {} | git hash-object --stdin

    def test_a_large_one_is_in_the_storage(self, hub, commit):
        """The Hub gives size, sha256 and a signed address; the storage gives the bytes."""
        status, headers, _ = get(f"{hub.url}/org/m/resolve/{commit}/sub%20dir/w.safetensors", "HEAD")
        etag = hashlib.sha256(WEIGHTS).hexdigest()
        assert (status, headers["X-Linked-Size"], headers["X-Linked-ETag"]) == (302, "1024", f'"{etag}"')
        assert urlsplit(headers["Location"]).netloc == urlsplit(hub.cdn_url).netloc
        assert get(headers["Location"])[2] == WEIGHTS

    def test_ranges(self, hub, commit):
        """Both origins give parts."""
        _, headers, _ = get(f"{hub.url}/org/m/resolve/{commit}/sub%20dir/w.safetensors")
        status, part, body = get(headers["Location"], Range="bytes=1000-")
        assert (status, part["Content-Range"], body) == (206, "bytes 1000-1023/1024", WEIGHTS[1000:])
        assert get(f"{hub.url}/org/m/resolve/{commit}/config.json", Range="bytes=1-1")[2] == b"}"
        assert get(f"{hub.url}/org/m/resolve/{commit}/config.json", Range="bytes=2-")[0] == 416

    @pytest.mark.parametrize(
        ("query", "headers"),
        [
            pytest.param("", {}, id="no signature"),
            pytest.param(f"?{SIGNATURE}", {"Authorization": f"Bearer {TOKEN}"}, id="a token that is not for it"),
        ],
    )
    def test_the_storage_refuses(self, hub, commit, query, headers):
        """It wants its signature and nothing else, as S3 does."""
        del commit
        assert get(f"{hub.cdn_url}/{hashlib.sha256(WEIGHTS).hexdigest()}{query}", **headers)[0] == 400


class TestListing:
    def test_of_a_commit(self, hub):
        """A branch is listed as the commit that it is at, with sizes and LFS digests."""
        first = hub.commit("org/m", FILES)
        hub.commit("org/m", {"other.json": b""})
        info = HfApi().model_info("org/m", revision=first, files_metadata=True)
        found = [(s.rfilename, s.size, s.lfs and s.lfs["sha256"]) for s in info.siblings]
        assert found == [
            ("config.json", 2, None),
            ("sub dir/w.safetensors", 1024, hashlib.sha256(WEIGHTS).hexdigest()),
        ]
        assert info.sha == first

    def test_of_a_mirror(self, hub, commit):
        """Without sizes."""
        hub.tells_sizes = False
        info = HfApi().model_info("org/m", revision=commit, files_metadata=True)
        assert [(s.size, s.lfs) for s in info.siblings] == [(None, None)] * 2

    def test_history(self, hub, commit):
        """The commit's own date."""
        assert json.loads(get(f"{hub.url}/api/models/org/m/commits/{commit}")[2])[0]["date"] == (
            "2025-06-01T12:00:00.000Z"
        )

    def test_something_happens_meanwhile(self, hub):
        """The hook runs after the listing is made."""
        first = hub.commit("org/m", FILES)
        hub.after_listing = lambda: hub.commit("org/m", {"x": b""})
        assert HfApi().model_info("org/m").sha == first
        assert HfApi().model_info("org/m").sha != first


class TestXet:
    def test_what_the_client_is_told(self, hub, commit):
        """Where the chunks are, by the headers that the real client reads."""
        del commit
        hub.xet[hashlib.sha256(WEIGHTS).hexdigest()] = "0" * 64
        hub.cas_url = "https://cas.example"
        data = get_hf_file_metadata(hf_hub_url("org/m", "sub dir/w.safetensors")).xet_file_data
        _, headers, _ = get(data.refresh_route)
        assert (data.file_hash, headers["X-Xet-Cas-Url"]) == ("0" * 64, "https://cas.example")
        assert int(headers["X-Xet-Token-Expiration"]) > time.time()
        assert get_hf_file_metadata(hf_hub_url("org/m", "config.json")).xet_file_data is None


class TestRefusals:
    """The real client understands each as what it is."""

    @pytest.fixture(autouse=True)
    def models(self, hub, commit):
        del commit
        hub.repositories["org/secret"] = Repository(private=True)
        hub.repositories["org/gated"] = Repository(gated=True)
        for name in ("org/secret", "org/gated"):
            hub.commit(name, FILES)

    @pytest.mark.parametrize(
        ("token", "expected"),
        [
            pytest.param(False, (RepositoryNotFoundError, 401), id="nobody"),
            pytest.param("hf_unknown", (HfHubHTTPError, 401), id="unknown token"),
            pytest.param("hf_other", (RepositoryNotFoundError, 404), id="token of somebody else"),
        ],
    )
    def test_private(self, hub, token, expected):
        """Who may not read it is not told that it is there."""
        hub.tokens.add("hf_other")
        with pytest.raises(HfHubHTTPError) as caught:
            HfApi(token=token).model_info("org/secret")
        assert (type(caught.value), caught.value.response.status_code) == expected

    def test_a_good_token(self):
        """Its reader is let in."""
        assert HfApi(token=TOKEN).model_info("org/secret").private is True

    def test_gated(self):
        """The listing is open, the files are not."""
        assert HfApi(token=False).model_info("org/gated").gated == "manual"
        with pytest.raises(GatedRepoError):
            get_hf_file_metadata(hf_hub_url("org/gated", "config.json"), token=False)
        assert get_hf_file_metadata(hf_hub_url("org/gated", "config.json"), token=TOKEN).size == 2

    @pytest.mark.parametrize(
        ("ask", "error"),
        [
            pytest.param(lambda: HfApi().model_info("org/nothing"), RepositoryNotFoundError, id="repository"),
            pytest.param(lambda: HfApi().model_info("org/m", revision="v9"), RevisionNotFoundError, id="revision"),
            pytest.param(lambda: get_hf_file_metadata(hf_hub_url("org/m", "x")), EntryNotFoundError, id="file"),
        ],
    )
    def test_unknown(self, ask, error):
        """What is not there."""
        with pytest.raises(error):
            ask()


class TestFaults:
    def test_status(self, hub, commit):
        """So many times, then all is well."""
        hub.faults.append(Fault(path="config", times=2, status=503, headers={"Retry-After": "0"}))
        url = f"{hub.url}/org/m/resolve/{commit}/config.json"
        assert [get(url)[0] for _ in range(3)] == [503, 503, 200]

    def test_cut(self, hub, commit):
        """The connection ends after so many bytes of what was promised."""
        hub.faults.append(Fault(path="config", cut_after=1))
        with pytest.raises(http.client.IncompleteRead):
            get(f"{hub.url}/org/m/resolve/{commit}/config.json")

    def test_flipped_byte(self, hub, commit):
        """One bit, in the storage."""
        url = get(f"{hub.url}/org/m/resolve/{commit}/sub%20dir/w.safetensors")[1]["Location"]
        hub.faults.append(Fault(corrupt_at=7))
        assert get(url)[2] == WEIGHTS[:7] + b"\x06" + WEIGHTS[8:]

    def test_no_ranges(self, hub, commit):
        """A server that does not know ranges sends everything."""
        hub.faults.append(Fault(ignore_range=True))
        assert get(f"{hub.url}/org/m/resolve/{commit}/config.json", Range="bytes=1-")[::2] == (200, b"{}")

    def test_chunked_without_an_end(self, hub, commit):
        """No length is promised, and the last chunk does not come."""
        hub.faults.append(Fault(path="config", chunked=True, cut_after=1))
        with pytest.raises(http.client.IncompleteRead):
            get(f"{hub.url}/org/m/resolve/{commit}/config.json")

    @pytest.mark.parametrize(
        "fault", [pytest.param({"silent": True}, id="before"), pytest.param({"stall_after": 1}, id="in the middle")]
    )
    def test_silence(self, hub, commit, fault):
        """The connection stays open, and nothing comes."""
        hub.faults.append(Fault(path="config", **fault))
        with pytest.raises(TimeoutError):
            get(f"{hub.url}/org/m/resolve/{commit}/config.json", timeout=0.2)

    def test_no_answer(self, hub, commit):
        """The connection ends where an answer was due."""
        hub.faults.append(Fault(path="config", lose_answer=True))
        with pytest.raises(http.client.RemoteDisconnected):
            get(f"{hub.url}/org/m/resolve/{commit}/config.json")

    def test_byte_by_byte(self, hub, commit):
        """Slowly, and whole in the end."""
        hub.faults.append(Fault(path="config", trickle=0.01))
        assert get(f"{hub.url}/org/m/resolve/{commit}/config.json")[2] == b"{}"

    def test_log(self, hub, commit):
        """What was asked, of which origin, with which headers."""
        get(f"{hub.url}/org/m/resolve/{commit}/config.json", Authorization=f"Bearer {TOKEN}")
        (request,) = hub.requests("config")
        assert (request.headers["authorization"], request.sent, hub.cdn_log) == (f"Bearer {TOKEN}", 2, [])
