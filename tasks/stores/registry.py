"""MLflow's model registry: an index of what the journal says, for people and for `models:/NAME@champion`.

MLflow creates a version as often as it is asked to. What is guaranteed here: `ensure_version` returns the same version
for the same run_key, always, to all callers, on all machines: the lowest that bears it. A second one can exist for a
moment, when two machines create at once or an answer was lost; whoever sees it deletes it, at the latest the next
caller with that run_key. Within a process callers wait for one another, and no second one comes to be.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import uuid4

from tasks.contracts.errors import InputError
from tasks.stores.failpoints import failpoint
from tasks.stores.tracking.client import answered, client, page, unless

RUN_KEY = "run_key"
CHAMPION = "champion"
CHAMPION_SEQ = "champion.seq"
"""Tag of a registered model: the journal entry that its alias was last set by."""
PREDICTS = "Predicts `"
"""How the card begins its sentence on what a model does."""
LONGEST_DESCRIPTION = 5000
"""What MLflow's column holds on PostgreSQL."""

MOVING = "champion.moving."
"""Tags of a registered model, one for each of us that is about to set its alias: while one stands, nobody asks for a
champion by moving the alias by hand."""
ABANDONED = timedelta(minutes=10)
"""Whoever said so long ago that it would set the alias is dead."""

_one_at_a_time = Lock()


class Index(NamedTuple):
    """A registered model as MLflow tells it."""

    tags: dict[str, str]
    aliases: dict[str, str]
    versions: dict[str, Any]
    """MLflow's own versions, by number."""

    @property
    def movers(self) -> dict[str, str]:
        """Who is about to set the alias, and since when."""
        return {name: since for name, since in self.tags.items() if name.startswith(MOVING)}


def ensure_version(  # noqa: PLR0917 - its names are the contract's, and each is a string that says what it is
    model_name: str, run_key: str, source: str, run_id: str, tags: Mapping[str, str], description: str
) -> str:
    """The version of a result, created if it does not exist.

    Args:
        model_name: The registered model; made if it is missing.
        run_key: What the result is called; kept in the tag `run_key`, by which it is found.
        source: What `tracking.log_onnx_model` returned.
        run_id: The run that made it.
        tags: Further tags of a new version.
        description: The model card; cut after 5,000 characters.

    Returns:
        The number of the version.
    """
    with _one_at_a_time, answered():
        found = _only_version(model_name, run_key)
        if found is None:
            with unless("RESOURCE_ALREADY_EXISTS"):
                client().create_registered_model(model_name)
            failpoint("publish.after_registered_model")
            client().create_model_version(
                model_name,
                source,
                run_id,
                tags={**tags, RUN_KEY: run_key},
                description=description[:LONGEST_DESCRIPTION],
                model_id=source.removeprefix("models:/") if source.startswith("models:/") else None,
                await_creation_for=0,
            )
            failpoint("publish.after_created_version")
            found = _only_version(model_name, run_key)
        if found is None:
            raise InputError(f"model {model_name!r} has no version of {run_key}, though one was made: who deleted it?")
        return found


def look(model_name: str) -> Index | None:
    """What MLflow holds of a model; None if it holds nothing.

    Tags are read before aliases. So where nobody was about to set the alias, and the tag names the journal's champion,
    an alias that means another version was moved by hand: all writers of ours were done, and the last one was right.
    """
    found: list[Index] = []
    with unless("RESOURCE_DOES_NOT_EXIST"):
        tags = dict(client().get_registered_model(model_name).tags)
        aliases = {name: str(v) for name, v in client().get_registered_model(model_name).aliases.items()}
        versions = {str(v.version): v for v in client().search_model_versions(f"name = '{model_name}'")}
        found.append(Index(tags, aliases, versions))
    return found[0] if found else None


@contextmanager
def moving(model_name: str) -> Iterator[None]:
    """Says that we are about to set the alias; whoever dies in between leaves it said, until it is abandoned.

    Raises:
        InputError: there is no such model.
    """
    mark = f"{MOVING}{uuid4().hex[:12]}"
    tag_model(model_name, {mark: datetime.now(UTC).isoformat(timespec="seconds")})
    try:
        yield
    except InputError:  # MLflow refused, so nothing of ours is on its way
        untag_model(model_name, mark)
        raise
    untag_model(model_name, mark)


def clear_abandoned(model_name: str, index: Index) -> None:
    """Takes away what those said who died while they set the alias."""
    for name, since in index.movers.items():
        if datetime.now(UTC) - datetime.fromisoformat(since) > ABANDONED:
            untag_model(model_name, name)


def tag_model(model_name: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a registered model.

    Raises:
        InputError: there is no such model.
    """
    with answered():
        for name, value in tags.items():
            client().set_registered_model_tag(model_name, name, value)


def untag_model(model_name: str, tag: str) -> None:
    """Takes a tag off a registered model; that it bears none is fine."""
    with unless("RESOURCE_DOES_NOT_EXIST"):
        client().delete_registered_model_tag(model_name, tag)


def untag_version(model_name: str, version: str, tag: str) -> None:
    """Takes a tag off a version; that it bears none is fine."""
    with unless("RESOURCE_DOES_NOT_EXIST"):
        client().delete_model_version_tag(model_name, version, tag)


def describe_model(model_name: str, card: str) -> None:
    """Says what a registered model predicts, by the sentence of its card; what somebody wrote there is left alone."""
    sentence = next((line for line in card.splitlines() if line.startswith(PREDICTS)), "")
    with answered():
        standing = client().get_registered_model(model_name).description or ""
        wanted = f"{sentence}\n\nThe version `@champion` is the one that is served."[:LONGEST_DESCRIPTION]
        if sentence and standing != wanted and (not standing or standing.startswith(PREDICTS)):
            client().update_registered_model(model_name, wanted)


def describe_version(model_name: str, version: str, description: str) -> None:
    """Sets the description of a version; cut after 5,000 characters."""
    with answered():
        client().update_model_version(model_name, version, description[:LONGEST_DESCRIPTION])


def delete_version(model_name: str, version: str) -> None:
    """Deletes a version; that it is gone is fine. MLflow never gives its number again."""
    with unless("RESOURCE_DOES_NOT_EXIST"):
        client().delete_model_version(model_name, version)


def drop_alias(model_name: str, alias: str) -> None:
    """Takes an alias away; that there is none is fine."""
    with unless("RESOURCE_DOES_NOT_EXIST"):
        client().delete_registered_model_alias(model_name, alias)


def create_version(model_name: str, number: int, source: str, run_id: str, tags: Mapping[str, str]) -> bool:
    """Makes the version of a number, which MLflow counts up to: those made on the way are deleted again.

    Returns:
        False if the number was given before; then nothing is left behind but numbers that were counted.
    """
    with _one_at_a_time, answered():
        with unless("RESOURCE_ALREADY_EXISTS"):
            client().create_registered_model(model_name)
        while True:
            model_id = source.removeprefix("models:/")
            how = {"tags": dict(tags), "model_id": model_id, "await_creation_for": 0}
            made = int(client().create_model_version(model_name, source, run_id, **how).version)
            if made == number:
                return True
            client().delete_model_version(model_name, str(made))
            if made > number:
                return False


def set_alias(model_name: str, alias: str, version: str) -> None:
    """Lets an alias mean a version.

    Raises:
        InputError: there is no such version.
    """
    with answered():
        client().set_registered_model_alias(model_name, alias, version)


def set_champion(model_name: str, version: str, seq: int) -> None:
    """Lets `champion` mean what a journal entry says, and notes which: so a move by hand is told from one that lags.

    Raises:
        InputError: there is no such version.
    """
    with answered():
        client().set_registered_model_alias(model_name, CHAMPION, version)
        client().set_registered_model_tag(model_name, CHAMPION_SEQ, str(seq))


def tag_version(model_name: str, version: str, tags: Mapping[str, str]) -> None:
    """Sets tags of a version.

    Raises:
        InputError: there is no such version.
    """
    with answered():
        for name, value in tags.items():
            client().set_model_version_tag(model_name, version, name, value)


def alias_of(model_name: str, alias: str) -> str | None:
    """The version that an alias means; None if there is no such alias or model."""
    aliases: dict[str, str] = {}
    with unless("RESOURCE_DOES_NOT_EXIST"):
        aliases = client().get_registered_model(model_name).aliases
    return str(aliases[alias]) if alias in aliases else None


def version_url(model_name: str, version: str) -> str:
    """The page of a version in MLflow's UI."""
    return page(f"models/{quote(model_name)}/versions/{version}")


def _only_version(model_name: str, run_key: str) -> str | None:
    """The lowest version that bears the run_key; any later one is deleted."""
    query = f"name = '{model_name}' and tags.{RUN_KEY} = '{run_key}'"
    numbers = sorted(int(found.version) for found in client().search_model_versions(query))
    for number in numbers[1:]:
        with unless("RESOURCE_DOES_NOT_EXIST"):  # the other creator was quicker
            client().delete_model_version(model_name, str(number))
    return str(numbers[0]) if numbers else None
