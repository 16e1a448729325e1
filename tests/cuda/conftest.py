"""What the tests of this folder share."""

from __future__ import annotations

import pytest


@pytest.fixture
def by_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, too, are selected from by queues, not in registers."""
    monkeypatch.setattr("approxtopk_cuda.loaded.team_of", lambda p, device: None)
