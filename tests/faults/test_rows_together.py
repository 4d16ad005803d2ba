"""R22: two pushes of one tag at the same time."""

import pytest

from tests.faults.program import Line, environment_of, model, start
from tests.source.weights import weights

OPTIONS = ("--plain-http", "--progress", "plain", "--base", "none", "--jobs", 1)


class TestR22:
    @pytest.fixture
    def push(self, tmp_path):
        """Give a function that starts a push, as a user of its own."""

        def push(host, folder, user, repository="org/m1"):
            image = f"{host}/{repository}:1"
            return start(tmp_path / "said", "push", folder, image, *OPTIONS, **environment_of(tmp_path / user))

        return push

    @pytest.fixture
    def models(self, tmp_path):
        """Return the folders of two models that have one file in common."""
        one, other = model(tmp_path / "one", 2), model(tmp_path / "other", 2)
        (other / "model-00001-of-00002.safetensors").write_bytes(weights(300_000, seed=7))
        return one, other

    def test_r22_same_content(self, push, registry, models):
        """Both end well, with the same digest, and nobody is warned."""
        done = [running.wait() for running in [push(registry.host, models[0], user) for user in ("a", "b", "c")]]
        digests = {one.out.strip() for one in done}
        assert ([one.code for one in done], len(digests)) == ([0, 0, 0], 1)
        assert [one.err for one in done if "warning" in one.err] == []
        assert registry.tags == {"org/m1:1": digests.pop().partition("@")[2]}

    def test_r22_other_content(self, push, registry, models):
        """Both end well, each with its own digest; the last one has the tag, and each digest its blobs."""
        done = [running.wait() for running in [push(registry.host, folder, folder.name) for folder in models]]
        digests = [one.out.strip().partition("@")[2] for one in done]
        assert [one.code for one in done] == [0, 0]
        assert len(set(digests)) == 2
        assert registry.tags["org/m1:1"] in digests
        assert set(digests) <= set(registry.manifests)

    def test_r22_loser_is_told(self, push, registry, models):
        """Who finds another's digest under the tag is warned, told his own, and ends with exit code 0."""
        with Line(registry.host) as line:
            assert push(line.host, models[0], "before", "org/m0").wait().code == 0
            last = line.passed - 10  # in the last request, which reads the tag back
        with Line(registry.host, pause_after=last) as line:
            loser = push(line.host, models[0], "loser")
            assert line.reached.wait(30)
            mine = registry.tags["org/m1:1"]
            winner = push(registry.host, models[1], "winner").wait()
            theirs = registry.tags["org/m1:1"]
            line.go_on.set()
            told = loser.wait()
        assert theirs != mine
        assert (winner.code, winner.out.strip()[-71:], "warning" in winner.err) == (0, theirs, False)
        assert (told.code, told.out.strip()[-71:]) == (0, mine)
        (warning,) = [one for one in told.err.splitlines() if one.startswith("warning:") and "names" in one]
        name = f"{line.host}/org/m1"
        assert warning == f"warning: {name}:1 names {theirs} by now: somebody else pushed; ours is {name}@{mine}"
