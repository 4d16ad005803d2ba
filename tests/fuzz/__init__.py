"""Parsers of what registries, files and users say, fed with what none of them should say.

`mutation`, `documents`, `texts` and `archives` make inputs, `canned` serves them, `targets` says which parser gets what
and what must hold of its answer, `trial` runs one input, `__main__` many. `corpus/PARSER/` holds inputs as files: the
seeds of the mutations, and every input that once found a defect; those in `large/` take their time, and are no seeds.
"""
