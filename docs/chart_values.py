# ruff: noqa: INP001 - a script beside the documents, not a package
"""Write the table of the chart's values into chart/README.md; with `--check`, only say whether it is up to date.

The sentences are the `# --` comments of chart/values.yaml, the defaults its values: one place to change.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

CHART = Path(__file__).resolve().parents[1] / "chart"
BEGIN = "<!-- values: made by docs/chart_values.py from values.yaml -->\n"
END = "<!-- end of values -->\n"
SENTENCE = "# -- "


@dataclass(frozen=True, slots=True)
class Value:
    """A key of values.yaml, what it defaults to (as JSON) and what it is for."""

    key: str
    default: str
    sentence: str

    def row(self) -> str:
        """Return the table's row."""
        cells = [f"`{self.key}`", f"`{self.default}`", self.sentence]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def documented(text: str) -> Iterator[Value]:
    """Give the values of a values.yaml in their order; raise ValueError for one that has no sentence.

    A mapping with a sentence is one value (its keys are Kubernetes' own or the user's), one without is a group.
    """
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if not isinstance(root, yaml.MappingNode):
        raise TypeError("values.yaml holds no mapping")
    yield from _group(root, "", text.splitlines())


def _group(mapping: yaml.MappingNode, prefix: str, lines: list[str]) -> Iterator[Value]:
    for name, node in mapping.value:
        key = prefix + name.value
        sentence = _comment_above(lines, name.start_mark.line)
        if sentence:
            yield Value(key, _json(node), sentence)
        elif isinstance(node, yaml.MappingNode) and node.value:
            yield from _group(node, key + ".", lines)
        else:
            raise ValueError(f"values.yaml: {key} has no '{SENTENCE}' sentence above it")


def _comment_above(lines: list[str], line: int) -> str:
    """Return the `# --` sentence that ends right above a line, or nothing."""
    words: list[str] = []
    for above in reversed(lines[:line]):
        comment = above.strip()
        if comment.startswith(SENTENCE):
            return " ".join([comment.removeprefix(SENTENCE), *words])
        if not comment.startswith("#"):
            break
        words.insert(0, comment.removeprefix("#").strip())
    return ""


def _json(node: yaml.Node) -> str:
    # yaml has no public way from a node to its value but to write it and read it again
    return json.dumps(yaml.safe_load(yaml.serialize(node)), ensure_ascii=False)


def with_table(readme: str, values: str) -> str:
    """Return the README with the table of these values between its two marks."""
    head, rest = readme.split(BEGIN)
    _, tail = rest.split(END)
    rows = "".join(value.row() for value in documented(values))
    return f"{head}{BEGIN}\n| Key | Default | What it is |\n| --- | --- | --- |\n{rows}\n{END}{tail}"


def main(argv: list[str] | None = None) -> int:
    """Write the README, or with --check return 1 when it would change."""
    arguments = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    arguments.add_argument("--check", action="store_true", help="write nothing; exit 1 when the table is out of date")
    arguments.add_argument("--chart", type=Path, default=CHART, help="the chart's folder")
    options = arguments.parse_args(argv)
    readme = options.chart / "README.md"
    old = readme.read_text("utf-8")
    new = with_table(old, (options.chart / "values.yaml").read_text("utf-8"))
    if options.check:
        if old != new:
            sys.stderr.write(f"{readme} is out of date; run: python docs/chart_values.py\n")
        return int(old != new)
    readme.write_text(new, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
