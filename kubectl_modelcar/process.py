"""Run another program: the only module that imports `subprocess`.

No shell, ever: an argv is a sequence, and nothing secret belongs on it (any user of the machine can read it).
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from kubectl_modelcar.errors import LocalFailure

__all__ = ["CannotStart", "Completed", "RanTooLong", "child_environment", "run"]

_INTERRUPT_GRACE = 15.0
"""Seconds that an interrupted child gets to put its things in order; a helm that is killed leaves `pending-install`."""


class CannotStart(LocalFailure):
    """The program is not there, or this user may not run it."""


class RanTooLong(LocalFailure):
    """The program was still running at its timeout and was killed."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a program that has ended left behind. Its exit status is the caller's to judge."""

    argv: tuple[str, ...]
    returncode: int
    """Exit status; negative is the number of the signal that ended it."""
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        """Whether it exited with 0."""
        return self.returncode == 0


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float,
) -> Completed:
    """Run `argv` to its end and return its output as text (UTF-8; broken bytes become U+FFFD).

    `stdin` None gives it an empty standard input. `env` is added to this process's own environment. `timeout` is in
    seconds. On ^C the program gets exactly one SIGINT and up to 15 seconds to end, then KeyboardInterrupt goes on.

    Raises CannotStart and RanTooLong.
    """
    try:
        # A group of its own: a ^C on the terminal reaches us alone, and we hand it on once.
        process = subprocess.Popen(  # noqa: S603  an argv list without a shell is what this module is for
            list(argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**child_environment(os.environ), **(env or {})},
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )
    except (OSError, ValueError) as error:
        # ValueError: a NUL in an argument.
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise CannotStart(f"cannot run {argv[0]}: {reason}") from error
    with process:
        try:
            stdout, stderr = process.communicate(stdin or "", timeout=timeout)
        except subprocess.TimeoutExpired as error:
            _signal_group(process.pid, signal.SIGKILL)
            program = PurePath(argv[0]).name
            raise RanTooLong(f"{program} had not ended after {timeout:g} s and was stopped") from error
        except KeyboardInterrupt:
            _interrupt(process)
            raise
    return Completed(tuple(argv), process.returncode, stdout, stderr)


def child_environment(environ: Mapping[str, str], *, frozen: bool | None = None) -> dict[str, str]:
    """Return `environ` as another program should see it.

    A frozen build (PyInstaller) points LD_LIBRARY_PATH at its own libraries and keeps the user's value in
    LD_LIBRARY_PATH_ORIG; helm, credential helpers and kubeconfig's exec plugins need the user's.
    """
    if frozen is None:
        frozen = bool(getattr(sys, "frozen", False))
    if not frozen:
        return dict(environ)
    ours = {"LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG"}
    env = {name: value for name, value in environ.items() if name not in ours and not name.startswith("_PYI_")}
    if "LD_LIBRARY_PATH_ORIG" in environ:
        env["LD_LIBRARY_PATH"] = environ["LD_LIBRARY_PATH_ORIG"]
    return env


def _interrupt(process: subprocess.Popen[str]) -> None:
    _signal_group(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=_INTERRUPT_GRACE)
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        _signal_group(process.pid, signal.SIGKILL)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
