"""What the tests of this folder share."""

from __future__ import annotations

import pytest


@pytest.fixture
def by_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are selected from by queues, not in registers or in shared memory."""
    monkeypatch.setattr("approxtopk_cuda.loaded.teams_of", lambda p, device: None)
    monkeypatch.setattr("approxtopk_cuda.resident.is_faster", lambda *args: False)
