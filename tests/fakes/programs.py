"""A stand-in for running programs: it knows some command lines and fails loudly on any other."""

from kubectl_modelcar.process import CannotStart, Completed


class FakePrograms:
    """Answers by the beginning of an argv, and remembers what was run."""

    def __init__(self):
        self._answers = []
        self.runs = []

    def answer(self, *beginning, stdout="", stderr="", returncode=0):
        """Let command lines that begin so print this; the one told last is asked first."""
        self._answers.insert(0, (beginning, Completed(beginning, returncode, stdout, stderr)))

    def absent(self, program):
        """Let a program not be there."""
        self._answers.insert(0, ((program,), CannotStart(f"cannot run {program}: No such file or directory")))

    def __call__(self, argv, *, stdin=None, env=None, timeout):
        """Fit `kubectl_modelcar.process.run`."""
        self.runs.append((list(argv), stdin, dict(env or {})))
        for beginning, answer in self._answers:
            if tuple(argv[: len(beginning)]) == beginning:
                if isinstance(answer, CannotStart):
                    raise answer
                return answer
        raise AssertionError(f"no answer for {list(argv)} (after {timeout} s)")
