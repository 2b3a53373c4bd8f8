"""Room for proofs: a process proves so many codes, and the tests before these have met most of them."""

import pytest

from payback.trace.proof import proof, proved


@pytest.fixture(autouse=True, scope="module")
def _as_if_no_code_had_been_met():
    for known in (proof._codes, proved._proofs, proved._tries):
        known.clear()
