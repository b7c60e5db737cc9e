"""The breakages: each a small change to the road of a bar that runs and is wrong without a word, as real bugs are."""

from __future__ import annotations

from typing import Final

from tests.mutants.acting import ACTING
from tests.mutants.mutant import Mutant
from tests.mutants.settling import SETTLING

MUTANTS: Final[tuple[Mutant, ...]] = (*ACTING, *SETTLING)
