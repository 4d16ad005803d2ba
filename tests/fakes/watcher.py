"""A Progress that remembers what it was told, and time that passes only when somebody waits."""


class Watcher:
    """Fits `kubectl_modelcar.progress.Progress`."""

    def __init__(self):
        self.lines = []

    def begin(self, name, total):
        self.lines.append(f"begin {name} {total}")

    def advance(self, name, amount):
        """Transfers are not what these tests look at."""

    def end(self, name, outcome):
        self.lines.append(f"end {name} {outcome}")

    def stage(self, name, state, detail=""):
        self.lines.append(f"{state} {name}" + (f": {detail}" if detail else ""))

    def warn(self, text):
        self.lines.append(f"warning: {text}")


class FakeTime:
    """Seconds that pass by `pause`, and what happens meanwhile."""

    def __init__(self, *happenings):
        self.seconds = 0.0
        self._happenings = list(happenings)

    def now(self):
        return self.seconds

    def pause(self, seconds):
        """Let time pass, and the next thing happen."""
        self.seconds += seconds
        if self._happenings:
            self._happenings.pop(0)()
