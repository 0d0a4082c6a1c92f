"""What pydantic found wrong with a form, as one line of ours: *field is value, but must rule: next move*."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tasks.contracts import config
from tasks.contracts.errors import unknown_name
from tasks.contracts.secrets import masked

LONGEST_VALUE = 60
Location = tuple[int | str, ...]


def explain(
    error: ValidationError, form: type[BaseModel] | None = None, spell: Callable[[str], str] = lambda name: name
) -> str:
    """One line for the first thing that is wrong, and the names of the other fields that are.

    Args:
        error: What pydantic raised.
        form: The form that was to be filled; by default the one of `contracts.config` with the error's title.
        spell: How the user writes a field's dotted name.

    >>> try:
    ...     config.TrainConfig(epochs=0)
    ... except ValidationError as error:
    ...     explain(error)
    'epochs is 0, but must be greater than 0: most passes over the training split'
    """
    form = form or getattr(config, error.title, None)
    first, *others = error.errors(include_url=False)
    names = dict.fromkeys(spell(dotted(other["loc"])) for other in others)
    names.pop(spell(dotted(first["loc"])), None)
    also = f" (wrong as well: {', '.join(names)})" if names else ""
    return _sentence(first, form, spell).replace("\n", " ") + also


def dotted(location: Location) -> str:
    """A place in a form as the user writes it.

    >>> dotted(("prune", "ratios", 1))
    'prune.ratios[1]'
    """
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".")


def _sentence(found: ErrorDetails, form: type[BaseModel] | None, spell: Callable[[str], str]) -> str:
    location, name = found["loc"], spell(dotted(found["loc"]))
    match found["type"]:
        case "value_error":
            return _own_words(found, spell)
        case "extra_forbidden":
            holder = _form_at(form, location[:-1])
            known = [spell(dotted((*location[:-1], field))) for field in holder.model_fields] if holder else []
            return unknown_name("field", name, known)
        case "missing":
            return f"{name} is missing, but must be given{_hint(form, location)}"
        case "literal_error":
            return f"{name} is {_shown(found['input'])}, but must be {_choice(found)}"
    return f"{name or 'the form'} is {_shown(found['input'])}, but must {_rule(found['msg'])}{_hint(form, location)}"


def _own_words(found: ErrorDetails, spell: Callable[[str], str]) -> str:
    """The sentence of a validator of ours, which names its field from where it stands."""
    location, text = found["loc"], found["msg"].removeprefix("Value error, ")
    if not location:
        return text
    starts_with_field = text.startswith(str(location[-1]))
    prefix = spell(dotted(location[:-1] if starts_with_field else location))
    return f"{prefix}.{text}" if prefix else text


def _choice(found: ErrorDetails) -> str:
    expected = str(found.get("ctx", {}).get("expected", ""))
    known = re.findall(r"'([^']*)'", expected)
    close = get_close_matches(str(found["input"]), known, n=1)
    return f"one of {', '.join(known)}" + (f": did you mean {close[0]!r}?" if close else ": choose one of them")


def _rule(message: str) -> str:
    """Pydantic's rule as it follows *must*.

    >>> _rule("Input should be a valid integer, unable to parse string as an integer")
    'be a valid integer'
    """
    _, _, rule = message.partition(" should ")
    rule = rule.split(", unable to")[0].split(", got a number")[0].replace(" or instance of", ", or")
    words = {"a valid tuple": "a list", "a valid dictionary, or ": "a group of fields of "}
    for theirs, ours in words.items():
        rule = rule.replace(theirs, ours)
    return rule or f"be otherwise ({message})"


def _hint(form: type[BaseModel] | None, location: Sequence[int | str]) -> str:
    """The field's own sentence, which says what it is for."""
    path = [part for part in location if isinstance(part, str)]
    holder = _form_at(form, path[:-1])
    field = holder.model_fields.get(path[-1]) if holder and path else None
    if field is None or not field.description:
        return ""
    text = field.description.strip().rstrip(".")
    return f": {text[0].lower()}{text[1:]}"


def _form_at(form: type[BaseModel] | None, path: Sequence[int | str]) -> type[BaseModel] | None:
    """The form that a path of field names leads to."""
    for part in path:
        field = form.model_fields.get(str(part)) if form else None
        kinds = (field.annotation, *get_args(field.annotation)) if field else ()
        form = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
    return form


def _shown(value: Any) -> str:
    # Masked before it is cut: half a password is one as well.
    text = masked(" ".join(repr(list(value) if isinstance(value, tuple) else value).split()))
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."
