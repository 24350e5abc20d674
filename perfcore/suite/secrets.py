"""Secrets: found in a suite, and masked wherever something is written.

    masker = Masker.for_suite(suite)
    print(masker.text(message))

The parts: `secret_names` (what announces a secret), `masker`, and `effective_suite` (a masked suite as YAML).
"""

from perfcore.suite.effective_suite import effective_suite
from perfcore.suite.masker import Masker
from perfcore.suite.secret_names import MASK

__all__ = ["MASK", "Masker", "effective_suite"]
