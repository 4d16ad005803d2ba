"""The rooms of the house: who may import whom, and who alone may import what."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "kubectl_modelcar"
PULLER = PACKAGE.parent / "chart" / "files" / "puller.py"

# From the ground up; a floor imports from the floors below it, and a room from no other room of its floor.
FLOORS = (
    {"errors", "progress", "text", "chart", "process", "patience", "memory", "__init__"},
    {"source", "image", "serving"},
    {"registry"},
    {"cluster"},
    {"chat"},
    {"sending", "stored"},
    {"push", "copying", "pull", "inspection", "verification", "install", "status", "uninstall", "reach"},
    {"cli"},
    {"__main__"},
)
# What a room needs from a neighbour of its own floor: sources name the files that images hold.
NEIGHBOURS = {("source", "image")}

# Third-party (and two stdlib) modules by the only rooms that may import them.
ONLY_IMPORTERS = {
    "click": {"cli"},
    "rich": {"cli"},
    "prompt_toolkit": {"cli"},
    "huggingface_hub": {"source"},
    "httpx2": {"source"},
    "oras": {"registry"},
    "requests": {"registry"},
    "urllib3": {"registry", "cluster"},
    "kubernetes": {"cluster"},
    "helm_python": {"cluster"},
    "httpx": {"chat"},
    "httpx_sse": {"chat"},
    "yaml": {"cluster", "cli"},
    "subprocess": {"process"},
}
STDLIB_ONLY = {"errors", "progress", "text", "chart", "process", "patience", "memory", "image", "serving"}

LONGEST_FUNCTION, LONGEST_MODULE = 60, 350


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """Yield the dotted name of every import, those inside functions and under TYPE_CHECKING too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # `from package import room` names the room in the alias.
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def own_rooms(path: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the rooms of ours that a module imports from, with the dotted path after the room."""
    for name in imports(path):
        parts = name.split(".")
        if parts[0] == "kubectl_modelcar" and len(parts) > 1:
            yield ("__init__" if parts[1] == "__version__" else parts[1]), parts[2:]


def floor_of(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_every_room_has_a_floor():
    """A new room is given its place here first."""
    assert {room_of(path) for path in modules()} == set.union(*FLOORS)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
class TestModule:
    """Each module keeps to the rules."""

    def test_imports_go_down(self, path):
        """Nothing imports from a floor above, nor from a neighbour."""
        room = room_of(path)
        wrong = {
            other
            for other, _ in own_rooms(path)
            if other != room and (room, other) not in NEIGHBOURS and not floor_of(other) < floor_of(room)
            if floor_of(room) > 0  # the ground floor is one room
        }
        assert wrong == set()

    def test_other_rooms_are_entered_by_their_door(self, path):
        """A room's inner modules are its own: others import the names in its `__init__`."""
        room = room_of(path)
        inner = {
            f"{other}.{rest[0]}"
            for other, rest in own_rooms(path)
            if other != room and len(rest) > 1 and (PACKAGE / other / f"{rest[0]}.py").exists()
        }
        assert inner == set()

    def test_a_foreign_library_has_one_importer(self, path):
        """The SDKs stay behind the rooms that translate them."""
        room = room_of(path)
        foreign = {name.split(".")[0] for name in imports(path)}
        assert {name for name in foreign if room not in ONLY_IMPORTERS.get(name, {room})} == set()

    def test_pure_rooms_import_the_standard_library_alone(self, path):
        """What needs nothing installed can be tested, typed and reused anywhere."""
        foreign = {name.split(".")[0] for name in imports(path)} - {"kubectl_modelcar", "puller"}
        unknown = {name for name in foreign if name not in sys.stdlib_module_names}
        assert room_of(path) not in STDLIB_ONLY or unknown == set()

    def test_it_can_be_read_at_one_sitting(self, path):
        """No module over 350 lines, no function over 60."""
        text = path.read_text()
        functions = [
            node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]
        long = [node.name for node in functions if node.end_lineno - node.lineno >= LONGEST_FUNCTION]
        assert (len(text.splitlines()) <= LONGEST_MODULE, long) == (True, [])


def test_nothing_catches_everything_but_the_edge():
    """Only `cli.run` catches Exception: a bug elsewhere must be seen."""
    broad = [
        str(path.relative_to(PACKAGE))
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
    ]
    assert broad == ["cli/__init__.py"]


class TestPuller:
    """The file that pods run alone."""

    def test_it_imports_the_standard_library_alone(self):
        """A server image has Python, and nothing of ours."""
        typing_only = {"_typeshed", "typing_extensions"}
        foreign = {name.split(".")[0] for name in imports(PULLER)} - set(sys.stdlib_module_names) - {"__future__"}
        assert foreign <= typing_only

    def test_no_function_of_it_is_long(self):
        """One file is a requirement; a long function is not."""
        tree = ast.parse(PULLER.read_text())
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        assert [n.name for n in functions if n.end_lineno - n.lineno >= LONGEST_FUNCTION] == []
