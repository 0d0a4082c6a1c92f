from uuid import uuid4

import httpx
import pytest

from tasks.exporters import ui_progress
from tasks.exporters.ui_progress import epoch_artifact
from tasks.trainers.loop import Epoch


def epoch(number: int) -> Epoch:
    return Epoch(number=number, train_loss=1 / number, validation_loss=1, metric=0.5, learning_rate=0.1, seconds=0.1)


class Prefect:
    """What the server was told; it may be away."""

    def __init__(self, *, away: bool = False) -> None:
        self.told: list[tuple[float, str]] = []
        self._away = away

    def create(self, *, progress, key, description):
        if self._away:
            raise httpx.ConnectError("away")
        assert key == "my-shop-training"
        self.told.append((progress, description))
        return uuid4()

    def update(self, _, *, progress, description):
        self.told.append((progress, description))


@pytest.fixture
def prefect(monkeypatch):
    def put(server: Prefect) -> Prefect:
        monkeypatch.setattr(ui_progress, "create_progress_artifact", server.create)
        monkeypatch.setattr(ui_progress, "update_progress_artifact", server.update)
        monkeypatch.setattr(ui_progress.TaskRunContext, "get", object)
        return server

    return put


def test_a_short_training_costs_one_call_and_ends_at_a_hundred(prefect):
    server = prefect(Prefect())
    with epoch_artifact("my_shop", "train", 40) as report:
        for number in range(1, 8):
            report(epoch(number))
    assert server.told == [(100.0, "train: epoch 7 of 40, loss 0.1429")]


def test_a_broken_training_stays_where_it_was(prefect):
    server = prefect(Prefect())
    with pytest.raises(ZeroDivisionError), epoch_artifact("my_shop", "train", 4) as report:
        report(epoch(1))
        raise ZeroDivisionError
    assert server.told == [(25.0, "train: epoch 1 of 4, loss 1")]


def test_a_training_without_epochs_shows_nothing(prefect):
    server = prefect(Prefect())
    with epoch_artifact("my_shop", "train", 0):
        pass
    assert server.told == []


def test_a_server_that_is_away_is_not_noticed(prefect):
    server = prefect(Prefect(away=True))
    with epoch_artifact("my_shop", "train", 2, every_seconds=0.001) as report:
        report(epoch(1))
        report(epoch(2))
    assert server.told == []


def test_nothing_is_told_outside_of_a_task_run():
    with epoch_artifact("my_shop", "train", 2) as report:
        report(epoch(1))
