"""A pretrained model as a network of the chain: encoded rows in, logits out."""

from torch import Tensor, nn

from tasks.contracts.errors import ModelError
from tasks.models.pretrained.answer import Answer
from tasks.models.pretrained.frozen import Frozen
from tasks.models.pretrained.reading import Reading


class Pretrained(nn.Module):
    """(N, *input_shape) to (N, output_size): the rows as the model takes them, its answers as logits."""

    def __init__(self, model: nn.Module, reading: Reading, answer: Answer) -> None:
        super().__init__()
        self.model, self.reading, self.answer = model, reading, answer

    def forward(self, encoded: Tensor) -> Tensor:
        """Logits (N, output_size)."""
        logits: Tensor = self.answer(self.model(self.reading(encoded)))
        return logits


def parameter_count(module: nn.Module) -> int:
    """Weights that are not zero, those within a frozen file included."""
    own = sum(int(parameter.count_nonzero()) for parameter in module.parameters())
    return own + sum(each.opened.parameters for each in module.modules() if isinstance(each, Frozen))


def refuse_changes(module: nn.Module) -> None:
    """Stop before a frozen model is cut or trained.

    Raises:
        ModelError: It is one.
    """
    for each in module.modules():
        if isinstance(each, Frozen):
            raise ModelError(
                f"a pretrained {each.file_format} model cannot be cut or trained further: set prune.ratios to [], "
                "or bring its weights as .safetensors with train.import_path"
            )
