"""Tests of how long to go on."""

import threading
import time

import pytest

from kubectl_modelcar.patience import MayPass, Patience, Tries, retry_after

NOON, LATER = "Tue, 24 Nov 2026 12:00:00 GMT", "Tue, 24 Nov 2026 12:00:20 GMT"


class Unhurried(Patience):
    """Patience that notes its waits instead of waiting."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.waits = []

    def pause(self, seconds):
        self.waits.append(seconds)
        return False

    def ready(self):
        """Wait for nothing."""


def failing(times, wait=None):
    """Return an attempt that fails so often and then gives its number."""
    made = []

    def attempt():
        made.append(1)
        if len(made) <= times:
            raise MayPass("the host answered 503", "try later", wait)
        return len(made)

    return attempt


class TestPersist:
    """Attempts in a row."""

    def test_goes_on_until_it_works(self):
        """Five failures are borne, and the waits between them are random up to a bound that doubles."""
        patience = Unhurried()
        assert patience.persist(failing(5)) == 6
        assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(patience.waits))

    def test_gives_up(self):
        """The sixth failure is the last one, and the error says how many there were."""
        with pytest.raises(MayPass) as caught:
            Unhurried().persist(failing(6))
        assert caught.value.message == "the host answered 503, 6 times in a row"

    def test_waits_as_long_as_it_is_asked_to(self):
        """What the server asks for counts, not chance."""
        patience = Unhurried()
        patience.persist(failing(2, 20.0))
        assert patience.waits == [20.0, 20.0]

    def test_does_not_wait_for_ever(self):
        """A wait of hours is the user's to decide."""
        with pytest.raises(MayPass) as caught:
            Unhurried().persist(failing(1, 3600.0))
        assert caught.value.hint == "it asks to wait 3600 s: try again then"

    def test_stops(self):
        """A wait ends when nobody wants its result any more."""
        patience = Patience()
        patience.stop()
        with pytest.raises(MayPass):
            patience.persist(failing(1, 300.0))


class TestHold:
    """A pause for all who talk to the host."""

    def test_of_two_at_once_the_longer_counts(self, monkeypatch):
        """Whoever asks for less meanwhile does not take it back."""
        patience, asked = Patience(), threading.Event()

        class Clock:
            """A clock that lets another thread in between what is read and what is written."""

            @staticmethod
            def monotonic():
                if threading.current_thread() is not other:
                    other.start()
                    asked.wait(0.2)
                return 0.0

        def longer():
            patience.hold(20.0)
            asked.set()

        other = threading.Thread(target=longer)
        monkeypatch.setattr("kubectl_modelcar.patience.time", Clock)
        patience.hold(1.0)
        other.join()
        assert patience._not_before == 20.0


class TestTries:
    """The budget of one piece of work."""

    def test_progress_refills_it(self):
        """Whoever gets on may fail as often as at the start."""
        tries = Tries(Unhurried(attempts=2, refill=10))
        for _ in range(5):
            tries.failed(MayPass("no", "later"))
            tries.progressed(10)
        tries.failed(MayPass("no", "later"))
        tries.progressed(9)
        with pytest.raises(MayPass):
            tries.failed(MayPass("no", "later"))

    def test_makes_the_others_wait(self):
        """A host that asks one thread to wait is left alone by all."""
        patience = Patience()
        patience.hold(0.2)
        started, done = time.monotonic(), []
        others = [threading.Thread(target=lambda: (patience.ready(), done.append(time.monotonic()))) for _ in range(4)]
        for thread in others:
            thread.start()
        for thread in others:
            thread.join()
        assert min(done) - started >= 0.2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="absent"),
        pytest.param({"Retry-After": "7"}, 7.0, id="seconds"),
        pytest.param({"Retry-After": " 7 "}, 7.0, id="spaces"),
        pytest.param({"Retry-After": LATER, "Date": NOON}, 20.0, id="date by the server's clock"),
        pytest.param({"Retry-After": NOON, "Date": LATER}, 0.0, id="past"),
        pytest.param({"Retry-After": "9" * 400}, 999_999_999.0, id="endless"),
        pytest.param({"Retry-After": "-3"}, None, id="negative"),
        pytest.param({"Retry-After": "soon"}, None, id="words"),
        pytest.param({"Retry-After": "Tue, 99 Nov 999999999 12:00:20 GMT"}, None, id="no date"),
    ],
)
def test_retry_after(headers, expected):
    """Seconds, a date, or nothing."""
    assert retry_after(headers) == expected
