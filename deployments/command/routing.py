"""`ingot route`: which versions share in a champion's requests, shown and changed."""

import json
from contextlib import suppress

from rich.console import Console

from deployments.local.connection import connect
from deployments.local.settings import read_settings
from tasks.contracts.errors import ConfigError
from tasks.contracts.routing import Routing, Share
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal
from tasks.stores.routing import Routes
from tasks.stores.s3 import Store


def route_and_show(model: str, canary: str, shadow: str, *, clear: bool, as_json: bool) -> None:
    """Change what is asked for, and print what stands then; arguments as `changed`.

    Raises:
        InputError: a version was never published, or a share is none.
    """
    connect(read_settings())
    routing = changed(Store.from_environment(), model, canary, shadow, clear=clear)
    if as_json:
        Console().out(json.dumps({"model": model, **routing.model_dump(mode="json")}), highlight=False)
    else:
        Console().print(told(model, routing), markup=False, highlight=False, soft_wrap=True)


def changed(store: Store, model: str, canary: str, shadow: str, *, clear: bool) -> Routing:
    """The routing of a model after a change.

    Args:
        store: Where it lies.
        model: Its name.
        canary: `VERSION=SHARE`; empty leaves it as it is.
        shadow: Likewise.
        clear: Whether what is not named ends.

    Raises:
        InputError: a version was never published, or a share is none.
    """
    journal, routes = Journal(store, model), Routes(store, model)
    parts: dict[str, Share | None] = {"canary": None, "shadow": None} if clear else {}
    for name, text in (("canary", canary), ("shadow", shadow)):
        if text:
            parts[name] = _share(journal, name, text)
    return routes.change(**parts) if parts else routes.read()


def told(model: str, routing: Routing) -> str:
    """One line.

    >>> told("digits", Routing(seq=0))
    'digits: the champion answers all'
    """
    parts = []
    if routing.canary:
        parts.append(f"version {routing.canary.version} answers {routing.canary.weight:.3g} of the callers as canary")
    if routing.shadow:
        parts.append(f"version {routing.shadow.version} is asked {routing.shadow.weight:.3g} of the requests as shadow")
    return f"{model}: {', '.join(parts) or 'the champion answers all'}"


def _share(journal: Journal, name: str, text: str) -> Share:
    version, _, written = text.partition("=")
    weight = -1.0
    with suppress(ValueError):
        weight = float(written)
    if not version or not 0 <= weight <= 1:
        raise ConfigError(f"--{name} is {text!r}, but must be VERSION=SHARE, the share from 0 to 1: --{name} 3=0.1")
    return Share(version=version, manifest=publication_of(journal, version, "version").manifest, weight=weight)
