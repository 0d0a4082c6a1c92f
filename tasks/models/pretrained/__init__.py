"""A model that somebody has trained already, from its file to a module of encoded rows to logits.

Whatever the format, the rest of the chain sees a `Pretrained`: it reads encoded rows as the model wants them, and turns
what the model answers into logits whose probabilities are the model's own. Weights in safetensors come with a function
that builds their module, and can be cut and trained on; the other formats are taken as they are.
"""

from tasks.models.pretrained.frozen import Frozen
from tasks.models.pretrained.loading import build, load
from tasks.models.pretrained.network import Pretrained, parameter_count, refuse_changes

__all__ = ["Frozen", "Pretrained", "build", "load", "parameter_count", "refuse_changes"]
