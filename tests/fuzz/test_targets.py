"""Every parser with its corpus and a few hundred broken inputs; `make fuzz` does a hundred thousand."""

import pytest

from tests.fuzz.targets import TARGETS
from tests.fuzz.trial import CORPUS, Trials, input_of

INPUTS = 300
FILES = sorted(path.relative_to(CORPUS) for path in CORPUS.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def no_programs(monkeypatch):
    """Let no input name a credential helper that is there."""
    monkeypatch.setenv("PATH", "/nonexistent")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_corpus(path):
    """A seed, or an input that once found a defect: an answer, or an error of ours."""
    assert Trials(TARGETS[path.parts[0]]).run((CORPUS / path).read_bytes()).defect == ""


@pytest.mark.parametrize("name", TARGETS)
def test_broken_inputs(name):
    """Whatever they say: an answer, or an error of ours; and there are some of both."""
    target = TARGETS[name]
    trials = Trials(target)
    outcomes = {number: trials.run(input_of(target, number)) for number in range(INPUTS)}
    defects = {f"python -m tests.fuzz {name} {n}": found.defect for n, found in outcomes.items() if found.defect}
    assert defects == {}
    places = {found.place for found in outcomes.values()}
    assert "" in places or name in ALWAYS_REFUSE, "nothing is accepted"
    assert name in NEVER_REFUSE or len(places) > 2, "too little is refused"


NEVER_REFUSE = {"challenge", "retry-after"}
"""Parsers that make the best of what they get."""
ALWAYS_REFUSE = {"registry-error"}
"""Parsers of what is a refusal already."""


def test_each_parser_has_a_corpus():
    """And no corpus is left without its parser."""
    assert {path.parts[0] for path in FILES} == set(TARGETS)
