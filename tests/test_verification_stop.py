"""Tests of verifying that is interrupted, or fails: nothing that is silent is waited for."""

import os
import signal
import threading
import time

import pytest

from kubectl_modelcar.errors import NotAuthorised
from kubectl_modelcar.image import digest_of
from tests.fakes.registry import Fault
from tests.verified import TREE, Image, layer, verified

LAYERS = (layer(TREE), layer({"x.safetensors": b"x" * 70_000}))


class TestStop:
    """While blobs are asked for."""

    def test_one_refusal_ends_the_others(self, registry):
        """A registry that is silent would keep it back for a minute."""
        Image(LAYERS).put(registry)
        registry.faults += [
            Fault("HEAD", digest_of(LAYERS[0].data), silent=True, times=-1),
            Fault("HEAD", digest_of(LAYERS[1].data), status=403, times=-1),
        ]
        started = time.monotonic()
        with pytest.raises(NotAuthorised):
            verified(registry, deep=False)
        assert time.monotonic() - started < 2

    @pytest.mark.parametrize(
        ("method", "fault"),
        [
            ("HEAD", {"silent": True}),
            ("HEAD", {"status": 429, "headers": {"Retry-After": "250"}}),
            ("GET", {"silent": True}),
            ("GET", {"stall_after": 100}),
        ],
        ids=["no answer", "a pause", "no answer to a layer", "a stalled layer"],
    )
    def test_interrupted(self, registry, method, fault):
        """By ^C: within two seconds, whatever other threads wait for."""
        Image(LAYERS).put(registry)
        silent = digest_of(LAYERS[0].data)
        registry.faults.append(Fault(method, silent, times=-1, **fault))
        said = []

        def interrupt():
            while not registry.requests(method, silent):
                time.sleep(0.01)
            time.sleep(0.05)
            said.append(time.monotonic())
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=interrupt, daemon=True).start()
        with pytest.raises(KeyboardInterrupt):
            verified(registry, deep=method == "GET")
        assert time.monotonic() - said[0] < 2
