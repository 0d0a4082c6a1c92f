"""A model that is taken as its file has it: it answers, but is neither trained nor cut."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import Tensor, nn

from tasks.contracts.errors import ModelError
from tasks.models.pretrained.facts import as_bytes, as_tensor
from tasks.models.pretrained.formats import FileFormat
from tasks.models.pretrained.reading import Wanted

ROOMS = {
    "onnx": "tasks.models.pretrained.onnx_file",
    "keras": "tasks.models.pretrained.keras_file",
    "torchscript": "tasks.models.pretrained.torchscript_file",
    "pt2": "tasks.models.pretrained.pt2_file",
}
"""Where each format is read; imported when one is met, since keras is an optional extra."""


@dataclass(frozen=True)
class Opened:
    """A model in memory.

    Attributes:
        run: From rows as the model takes them to what it answers.
        parameters: How many of its weights are not zero.
        wanted: What it takes.
    """

    run: Callable[[Tensor], Any]
    parameters: int
    wanted: Wanted = field(default_factory=Wanted)


class Frozen(nn.Module):
    """The model of one file. Its whole state is the content of that file, checked and mended when it was brought.

    The opened model is no submodule: its weights are constants to whoever exports, prunes or trains.
    """

    def __init__(self, file_format: FileFormat, content: bytes = b"") -> None:
        super().__init__()
        self.file_format, self.content = file_format, content
        self._opened: tuple[Opened, ...] = ()

    @property
    def opened(self) -> Opened:
        """The model, opened when first asked for.

        Raises:
            ModelError: There is no file yet, or it cannot be opened.
        """
        if not self._opened:
            if not self.content:
                raise ModelError(
                    f"a pretrained {self.file_format} model has no smaller untrained form: set prune.students to []"
                )
            self._opened = (import_module(ROOMS[self.file_format]).opened(self.content),)
        return self._opened[0]

    def forward(self, rows: Tensor) -> Any:
        """What the model answers."""
        return self.opened.run(rows)

    def get_extra_state(self) -> Tensor:
        """The file, for the state dict."""
        return as_tensor(self.content)

    def set_extra_state(self, state: Any) -> None:
        """Takes the file of another."""
        self.content, self._opened = as_bytes(state), ()

    def __deepcopy__(self, memo: dict[int, Any]) -> "Frozen":
        """Another on the same file: nothing in it ever changes."""
        return Frozen(self.file_format, self.content)
