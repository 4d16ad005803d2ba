"""`python -m tests.tools.install` installs what is missing and says what it could not."""

import pytest

from tests.tools import build, debian, tool
from tests.tools.catalogue import Tool
from tests.tools.errors import ToolError
from tests.tools.install import install, main


class TestInstall:
    """One line a tool; one that fails does not stop the rest."""

    def test_lines_and_failures(self, capsys):
        """Results go to stdout, what is missing to stderr, and the number of failures is returned."""

        def fail() -> bool:
            raise ToolError("b 1: no 'go' on PATH")

        failed = install({"a": lambda: True, "b": fail, "c": lambda: False}, ["a", "b", "c"])
        out, err = capsys.readouterr()
        assert (failed, out, err) == (
            1,
            "a: installed (0.0 s)\nc: already there (0.0 s)\n",
            "error: b 1: no 'go' on PATH\n",
        )

    def test_without_go(self, monkeypatch, tmp_path, capsys):
        """Without Go the exit code is not zero, and the text names what is missing."""
        monkeypatch.setenv("PATH", str(tmp_path))
        monkeypatch.setenv("MODELCAR_CACHE", str(tmp_path / "cache"))
        code = main(["crane"])
        out, err = capsys.readouterr()
        assert (code, out) == (1, "")
        assert err.startswith("error: crane 0.22.1: no 'go' on PATH. Install Go")

    def test_unknown_name(self, capsys):
        """A name that is no tool is refused before anything is built."""
        with pytest.raises(SystemExit) as stopped:
            main(["buildah"])
        assert stopped.value.code == 2
        assert "no such tool: buildah; choose from registry, helm, " in capsys.readouterr().err


class TestGoBuild:
    """Go is run with pinned versions and its complaint is passed on."""

    @pytest.fixture
    def go(self, monkeypatch, tmp_path):
        """Put a program named go on PATH that writes down how it was called, and fails when told to."""
        program = tmp_path / "bin" / "go"
        program.parent.mkdir()
        program.write_text(
            """#!/bin/sh
            echo "$CGO_ENABLED $*" > "$GOBIN/call"
            [ -z "$GO_FAILS" ] || { echo "$GO_FAILS" >&2; exit 1; }
            """
        )
        program.chmod(0o755)
        monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
        return program

    @pytest.mark.usefixtures("go")
    def test_command(self, tmp_path):
        """The package is built static, stripped, at its pinned version, and further names become links."""
        build.go_build(Tool("x", "1.2", "example.com/cmd/x", variables={"main.v": "1.2"}, programs=("y",)), tmp_path)
        assert (
            tmp_path / "call"
        ).read_text() == "0 install -trimpath -ldflags -s -w -X main.v=1.2 example.com/cmd/x@v1.2\n"
        assert str((tmp_path / "y").readlink()) == "x"

    @pytest.mark.usefixtures("go")
    def test_name(self, tmp_path):
        """A program that its package calls otherwise gets the tool's name."""
        (tmp_path / "server").touch()
        build.go_build(Tool("x", "1.2", "example.com/cmd/server"), tmp_path)
        assert (tmp_path / "x").exists()

    @pytest.mark.usefixtures("go")
    def test_failure(self, monkeypatch, tmp_path):
        """What Go said is in the error."""
        monkeypatch.setenv("GO_FAILS", "no required module")
        with pytest.raises(ToolError, match=r"^x 1: '.*go install' failed:\nno required module$"):
            build.go_build(Tool("x", "1", "example.com/x"), tmp_path)


class TestDebian:
    """Debian packages are installed by root, and named to anybody else."""

    def test_missing_without_dpkg(self, monkeypatch, tmp_path):
        """Where there is no dpkg, everything is missing and the text says so."""
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(
            ToolError, match=r"^Debian packages missing \(no apt-get here\)\. As root: apt-get .* runc$"
        ):
            debian.install_packages(["runc"])

    def test_only_missing_ones(self, monkeypatch, tmp_path):
        """Packages that dpkg calls installed are not missing; removed and unknown ones are."""
        query = tmp_path / "dpkg-query"
        query.write_text("#!/bin/sh\necho 'a installed'\necho 'b config-files'\nexit 1\n")
        query.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
        assert debian.missing_packages(["a", "b", "c"]) == ["b", "c"]


class TestTool:
    """Tests ask for tools by name."""

    def test_not_installed(self, monkeypatch, tmp_path):
        """A tool that is not there yet is an error with the way to get it."""
        monkeypatch.setenv("MODELCAR_CACHE", str(tmp_path))
        with pytest.raises(ToolError, match=r"^kubectl 1\.36\.3-\w+ is not installed; run `make tools`$"):
            tool("kubectl")

    def test_unknown(self):
        """A name that is in no catalogue is an error of its own."""
        with pytest.raises(ToolError, match=r"^no tool is called 'buildah'; "):
            tool("buildah")

    def test_of_debian(self, monkeypatch, tmp_path):
        """It is where PATH says, and only there."""
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(ToolError, match=r"^skopeo of Debian's skopeo is not installed; run `make tools` as root$"):
            tool("skopeo")
        program = tmp_path / "skopeo"
        program.touch(0o755)
        assert tool("skopeo") == program
