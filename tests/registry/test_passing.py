"""Tests of what the puller says of failures that may pass, and of what the wire makes of that."""

import pytest

from kubectl_modelcar.chart import puller
from kubectl_modelcar.errors import NetworkGaveUp, NotAuthorised
from tests.fakes.registry import FakeRegistry, Fault
from tests.registry.sending import target


class TestPasses:
    """Of the errors that the puller raises."""

    @pytest.mark.parametrize(
        ("fault", "passes"),
        [
            pytest.param(Fault(status=503, headers={"Retry-After": "7"}), 7.0, id="busy for so long"),
            pytest.param(Fault(status=503), 0.0, id="busy"),
            pytest.param(Fault(status=429, headers={"Retry-After": "7200"}), 7200.0, id="busy for hours"),
            pytest.param(Fault(status=403), None, id="forbidden"),
        ],
    )
    def test_after_how_long(self, registry, fault, passes):
        """In seconds, 0 where the registry does not say, None for what stays."""
        registry.faults.append(fault)
        once = puller.Registry(registry.url, "org/m", patience=puller.Patience(attempts=1))
        with pytest.raises(puller.PullError) as caught:
            once.manifest("1")
        assert (caught.value.passes, "times in a row" in caught.value.message) == (passes, False)


class TestTokenServer:
    """One that fails while a request waits for its token."""

    @pytest.mark.parametrize(
        ("headers", "waited"), [({"Retry-After": "2"}, [2.0]), ({}, None)], ids=["says how long", "says nothing"]
    )
    def test_busy(self, log_in, waits, headers, waited):
        """It is waited for as for the registry itself."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(path="^/token", status=503, headers=headers))
            target(registry).prepare()
        assert waits == (waited or [pytest.approx(0.25, abs=0.25)])

    def test_for_ever(self, log_in, waits):
        """Who was asked for what is told, once, and how often."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(path="^/token", status=503, times=-1))
            with pytest.raises(NetworkGaveUp) as caught:
                target(registry).prepare()
        host = registry.host
        assert caught.value.message == (
            f"cannot push to {host}/org/m: asking 127.0.0.1 for access to {host}: {host} answered "
            "503 Service Unavailable, 6 times in a row"
        )
        assert len(waits) == 5

    def test_no(self, log_in, waits):
        """Is final."""
        with FakeRegistry(auth="bearer") as registry:
            log_in(registry.host)
            registry.faults.append(Fault(path="^/token", status=403, times=-1))
            with pytest.raises(NotAuthorised):
                target(registry).prepare()
        assert waits == []
