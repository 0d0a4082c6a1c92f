"""Who somebody is that asks, as far as it matters to the books."""

from dataclasses import dataclass

from deployments.serving.refusal import Refusal, clipped


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose request it is."""

    key: str = ""
    """The id of the API key; empty for somebody without."""
    name: str = ""
    counted: bool = True
    """Whether the request stands in the usage."""
    audited: bool = False
    """Whether it stands in the audit log: whatever needs a key does."""
    models: frozenset[str] = frozenset()
    """Those it may ask; empty for all."""

    def may_ask(self, model: str) -> bool:
        """Whether a model is open to this caller."""
        return not self.models or model in self.models

    def check(self, model: str) -> None:
        """Lets pass whoever may ask a model.

        Raises:
            Refusal: 403, naming the models that are open.
        """
        if not self.may_ask(model):
            known = ", ".join(sorted(self.models)[:20])
            message = f"model is {clipped(model)!r}, but API key {self.key} may ask {known} alone: use another key"
            raise Refusal("forbidden_model", message, status=403)


NOBODY = Caller(counted=False)
"""Whoever asks for the server's health: no key, no trace."""
ANYBODY = Caller()
"""A caller of a server that has no keys."""
STRANGER = Caller(counted=False, audited=True)
"""Somebody without a valid key, where one is needed."""
