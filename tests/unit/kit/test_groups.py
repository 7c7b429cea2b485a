"""Tests of a group run one after the other, in one worker: a play that measures wants the machine
for itself.
"""

import os

import pytest


@pytest.mark.xdist_group("groups")
def test_the_name_of_a_group_reaches_the_scheduler(request: pytest.FixtureRequest) -> None:
    """pytest-xdist hands it on in the test's id; with a pytest that makes ids in another way it is
    lost without a word.
    """
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@groups")
