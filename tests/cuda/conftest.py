"""What the tests of this folder share."""

from __future__ import annotations

import pytest


@pytest.fixture
def by_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """All rows are selected from by queues, and by no other way."""
    monkeypatch.setattr("approxtopk_cuda.loaded.teams_of", lambda p, device: None)
    for other in ("resident", "reread"):
        monkeypatch.setattr(f"approxtopk_cuda.{other}.is_faster", lambda *args: False)
