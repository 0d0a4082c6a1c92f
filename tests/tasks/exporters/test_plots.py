import io

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from PIL import Image

from tasks.exporters import plots
from tests.tasks.exporters import measured


def drawn(figure) -> np.ndarray:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return np.asarray(Image.open(file).convert("RGB"))


@pytest.mark.parametrize(
    "figure",
    [
        plots.learning_curve([2.0, 1.0, 0.5], [2.1, 1.2, 0.9]),
        plots.learning_curve([0.0], [0.0]),
        plots.confusion_matrix(np.array([[9, 1], [2, 8]]), ("no", "yes")),
        plots.confusion_matrix(np.eye(30, dtype=int), range(30)),
        plots.confusion_matrix(np.array([[9, 1], [2, 8]]), ("$x_$", "US$ \\frac$")),
        plots.residuals(np.arange(5.0), np.arange(5.0) + 1),
        plots.pareto(measured.verdict().measurements, "channels-50/static", "accuracy"),
    ],
    ids=["learning curve", "one epoch", "confusion", "many classes", "dollars", "residuals", "pareto"],
)
def test_a_plot_can_be_drawn_and_is_not_blank(figure):
    assert drawn(figure).std() > 5


def test_the_winner_is_ringed_and_named_with_the_front():
    large, small, tiny = (
        measured.measurement(name, size).model_copy(update={"metric": metric})
        for name, size, metric in (("large", 2000, 0.94), ("small", 1000, 0.95), ("tiny", 500, 0.94))
    )
    figure = plots.pareto([large, small, tiny], "small", "accuracy")
    assert {text.get_text() for text in figure.axes[0].texts} == {"small", "tiny"}
    (ring,) = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert ring.get_offsets()[0][0] == 1000


def test_the_confusion_matrix_shows_every_count():
    figure = plots.confusion_matrix(np.array([[9, 1], [2, 8]]), ("no", "yes"))
    assert [text.get_text() for text in figure.axes[0].texts] == ["9", "1", "2", "8"]
