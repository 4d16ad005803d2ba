"""Files that can run code when they are loaded, told by their content; the suffix alone is no proof.

A scanner can be evaded (CVE-2025-10155 and others); refusing whole formats cannot.
"""

import io
import pickletools
import re
from pathlib import PurePosixPath

HEAD = 4096  # bytes that `danger` wants to see; a tar's magic ends at 262

_MAGIC = (
    (b"PK\x03\x04", "a zip archive (PyTorch's .pt and .bin are pickles in one)"),
    (b"PK\x05\x06", "a zip archive"),
    (b"\x7fELF", "a shared object or program (ELF)"),
    (b"MZ", "a Windows program"),
    (b"\xcf\xfa\xed\xfe", "a shared object or program (Mach-O)"),
    (b"\xca\xfe\xba\xbe", "a shared object or program (Mach-O, Java)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!", "a rar archive"),
    (b"\x89HDF", "an HDF5 file (Keras runs code from one)"),
    (b"\x93NUMPY", "a numpy file (it may hold pickles)"),
    (b"#!", "a script"),
)
_SUFFIXES = {
    **dict.fromkeys((".py", ".pyc", ".pyi", ".pyx", ".ipynb"), "Python"),
    **dict.fromkeys((".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".dill"), "a pickle by its name"),
    **dict.fromkeys((".so", ".dll", ".dylib", ".exe", ".sh", ".bat", ".ps1"), "a program by its name"),
    **dict.fromkeys((".h5", ".keras", ".npy", ".npz"), "a format that may hold code"),
}
_PROTO, _NEWEST_PROTOCOL = 0x80, 5
_CALLABLE = re.compile(r"[\w.-]+ [\w.]+")  # "module name"; a module's file may be called anything
_NAMES_CODE = {"GLOBAL", "INST", "STACK_GLOBAL"}
_RUNS_CODE = {"INST", "OBJ", "NEWOBJ", "REDUCE", "BUILD"}
_READ_AS_LINES = {"PERSID", "UNICODE", "GLOBAL", "INST"}  # opcodes that lists of words are made of, too
_FEW = 4  # opcodes in a row that no text of more than a page begins with


def danger(path: str, head: bytes) -> str | None:
    """Say what makes the file dangerous to load, from its name and its first HEAD bytes; None when nothing does."""
    for magic, what in _MAGIC:
        if head.startswith(magic):
            return what
    if head[257:262] == b"ustar":
        return "a tar archive"
    if head[2:4] == b"\r\n" and head[:1] not in b"{[\r\n" and not head[:4].isascii():
        return "compiled Python"
    if _is_pickle(head):
        return "a pickle"
    return _SUFFIXES.get(PurePosixPath(path).suffix.lower())


def _is_pickle(head: bytes) -> bool:
    """Tell a pickle: protocol 2 and up by its magic, 0 and 1 by opcodes that name a callable and call it."""
    if len(head) > 1 and head[0] == _PROTO and head[1] <= _NEWEST_PROTOCOL:
        return True
    stream, seen, count = io.BytesIO(head), set[str](), 0
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            count += 1
            if opcode.name not in ("GLOBAL", "INST") or _CALLABLE.fullmatch(str(argument)):
                seen.add(opcode.name)
    except (ValueError, UnicodeDecodeError):
        if len(head) < HEAD or stream.tell() < len(head):
            return False
        # The end that was missed is ours and no pickle's; what follows is not known.
        return count >= _FEW and not seen <= _READ_AS_LINES
    return bool(seen & _NAMES_CODE) and bool(seen & _RUNS_CODE)
