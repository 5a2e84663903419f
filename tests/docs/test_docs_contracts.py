"""The examples on extending pass the contracts that they promise to pass."""

import pages

_PAGE = pages.run("docs/extending.md")

TestChipOfThePage = _PAGE["TestLoggedChip"]
TestRuleOfThePage = _PAGE["TestFirstChoice"]
