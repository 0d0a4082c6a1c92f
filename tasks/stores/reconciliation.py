"""Letting the pointer and MLflow agree with the journal, and taking an alias that was moved by hand as a request.

The journal is right. What MLflow lacks is made again; what it holds that nobody published is named, never deleted. Any
number of reconciliations and promotions may run at once: MLflow is read first and the journal afterwards, so whatever
of our own is seen there is in the journal too, and a request is only granted instead of the champion it was made under.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from tasks.contracts.agreement import Agreement, Finding, Kind
from tasks.contracts.errors import ConflictError, IngotError, InputError, IntegrityError, UnavailableError
from tasks.contracts.manifest import JournalEntry, Pointer
from tasks.contracts.record import sha256_hex
from tasks.stores import rebuild, registry
from tasks.stores.flow_runs import why_over
from tasks.stores.history import publication_of
from tasks.stores.journal import Journal, lifetime
from tasks.stores.registry import CHAMPION, CHAMPION_SEQ, LONGEST_DESCRIPTION, RUN_KEY, Index
from tasks.stores.s3 import Store
from tasks.stores.succession import check_fit, commit, settle_alias
from tasks.stores.tracking import phantoms
from tasks.stores.tracking.spool import replay

UNPUBLISHED = "ingot.unpublished"
"""Tag of a version in MLflow that no journal names."""
REFUSED = "champion.refused"
"""Tag of a model and a version: why an alias that was moved by hand was put back."""
ACTOR, REASON = "mlflow", "alias champion moved in MLflow"

State = Literal["agrees", "lags", "asked"]


def models_of(store: Store) -> list[str]:
    """Every model that has anything in the store."""
    names = (key.split("/")[1] for key in store.keys("models/") if key.count("/") > 1)
    return sorted(set(names))


def settle_pointer(journal: Journal) -> list[Finding]:
    """Lets the pointer say what the journal says, and renews it; needs no MLflow.

    It is renewed each time, which also puts an earlier one right that somebody put back; worth telling is only a
    renewal that was due.

    Raises:
        IntegrityError: the journal is broken, or ends before the pointer.
    """
    champion = journal.champion()
    if champion is None:
        return []
    before = _pointer(journal)
    after = journal.move_pointer(champion, renew=True)
    if before is not None and before.seq == after.seq:
        left = before.lasts_seconds(datetime.now(UTC)) / 86400
        if left > lifetime().days / 2:
            return []
        return [_about("pointer", after.version, f"pointer lasts {left:.1f} of {lifetime().days} days", "renewed")]
    found = f"pointer named entry {before.seq}" if before else "there was no sound pointer"
    return [_about("pointer", after.version, found, f"moved to entry {after.seq}")]


def reconcile(journal: Journal) -> Agreement:
    """One pass over one model, pointer first.

    Raises:
        IntegrityError: the journal is broken.
        UnavailableError: a server does not answer.
    """
    findings = [*settle_pointer(journal), *reconcile_versions(journal), *reconcile_alias(journal)]
    champion = journal.champion()
    return Agreement(
        model=journal.model,
        champion=champion.version if champion else "",
        seq=champion.seq if champion else 0,
        findings=tuple(findings),
    )


def end_phantoms(model: str = "") -> list[tuple[str, Finding]]:
    """Tells MLflow what killed processes left to tell, and ends the runs that nobody makes; each with its model.

    While MLflow is away nothing is done: the next pass does it.
    """
    try:
        replay()
        ended = phantoms.end_phantoms(why_over, model)
    except UnavailableError:
        return []
    found = "run {} was under way in MLflow, but {}"
    return [(each.model, _about("run", "", found.format(each.name, each.why), "ended as killed")) for each in ended]


def broken(model: str, error: IngotError) -> Agreement:
    """What is reported of a model that could not be looked at."""
    finding = Finding(kind="broken", found=str(error), done="nothing was changed", mended=False)
    return Agreement(model=model, findings=(finding,))


def reconcile_versions(journal: Journal) -> list[Finding]:
    """Lets MLflow hold every published version as its manifest says it."""
    index = registry.look(journal.model)
    published = {entry.version: entry for entry in journal.entries() if entry.action == "publish"}
    findings: list[Finding] = []
    for version, entry in sorted(published.items(), key=lambda item: int(item[0])):
        if index is None or version not in index.versions:
            findings += _guarded(version, partial(_restored, journal, entry))
        else:
            findings += _guarded(version, partial(_mend_version, journal, entry, index))
    return findings + _strangers(journal, index, published)


def reconcile_alias(journal: Journal) -> list[Finding]:
    """Lets MLflow's alias say what the journal says, or the journal what the alias asks for."""
    index = registry.look(journal.model)
    champion = journal.champion()  # read after MLflow: what we wrote there is in it
    if index is None:
        return []
    registry.clear_abandoned(journal.model, index)
    state = judge(champion, index)
    if state == "agrees":
        return []
    if state == "asked":
        return [_answer(journal, champion, index.aliases[CHAMPION])]
    found = f"alias champion means {_version(index.aliases.get(CHAMPION))}"
    try:
        settle_alias(journal)
    except InputError as error:  # MLflow has no such version, and cannot be given it
        return [_about("alias", champion.version if champion else "", found, str(error), mended=False)]
    return [_about("alias", champion.version if champion else "", found, "follows the journal again")]


def judge(champion: JournalEntry | None, index: Index) -> State:
    """What the alias in MLflow is to the journal's champion.

    Args:
        champion: The entry that made it, read after `index`.
        index: What MLflow holds.

    Returns:
        `agrees`; `asked` if somebody moved it by hand; else `lags`: a move of ours was cut off, or somebody took the
        alias away.
    """
    alias, tag = index.aliases.get(CHAMPION, ""), index.tags.get(CHAMPION_SEQ, "")
    settled = tag == (str(champion.seq) if champion else "")
    if settled and alias == (champion.version if champion else ""):
        return "agrees"
    return "asked" if settled and alias and not index.movers else "lags"


def _answer(journal: Journal, champion: JournalEntry | None, version: str) -> Finding:
    """Grants what a moved alias asks for, or puts it back and says why."""
    asked = f"alias champion was moved to {_version(version)} in MLflow"
    try:
        publication = publication_of(journal, version)
        check_fit(journal, publication)
        again = any(e.action != "publish" and e.manifest == publication.manifest for e in journal.entries())
        action: Literal["promote", "rollback"] = "rollback" if again else "promote"
        entry = commit(journal, action, publication, actor=ACTOR, reason=REASON, instead_of=champion)
    except ConflictError as error:
        settle_alias(journal)
        return _about("request", version, asked, f"put back: {error}")
    except (InputError, IntegrityError) as error:
        _put_back(journal, version, str(error))
        return _about("request", version, asked, f"refused and put back: {error}")
    settle_alias(journal)
    registry.untag_model(journal.model, REFUSED)
    registry.untag_version(journal.model, version, REFUSED)
    return _about("request", version, asked, f"granted as entry {entry.seq}, a {entry.action}")


def _put_back(journal: Journal, version: str, reason: str) -> None:
    if journal.champion() is None:
        registry.drop_alias(journal.model, CHAMPION)
    settle_alias(journal)
    registry.tag_model(journal.model, {REFUSED: reason[:LONGEST_DESCRIPTION]})
    registry.tag_version(journal.model, version, {REFUSED: reason[:LONGEST_DESCRIPTION]})


def _mend_version(journal: Journal, entry: JournalEntry, index: Index) -> list[Finding]:
    held = index.versions[entry.version]
    bears, holds = held.tags.get(RUN_KEY, ""), held.tags.get("manifest.sha256", "")
    if bears != entry.run_key and not (bears == "" and holds == entry.manifest):
        mend = f"delete the model {journal.model} in MLflow, then run `ingot registry rebuild {journal.model}`"
        found = f"version {entry.version} is another result in MLflow (run_key {bears[:12] or 'none'})"
        return [_about("version", entry.version, found, mend, mended=False)]
    if UNPUBLISHED in held.tags:
        registry.untag_version(journal.model, entry.version, UNPUBLISHED)
    manifest = journal.get_manifest(entry.manifest)
    wanted = rebuild.tags_of(manifest, journal.manifest_uri(entry.manifest))
    wanted = {name: wanted[name] for name in ("manifest.uri", "manifest.sha256", RUN_KEY)}
    wrong = {name: value for name, value in wanted.items() if held.tags.get(name) != value}
    findings = []
    if wrong:
        registry.tag_version(journal.model, entry.version, wrong)
        findings.append(_about("tags", entry.version, f"{', '.join(wrong)} differed from the manifest", "set again"))
    cards = [file.artifact.sha256 for file in manifest.files if file.path == "README.md"]
    description = held.description or ""
    if cards and sha256_hex(description.encode()) != cards[0]:
        card = rebuild.card_of(journal, manifest)[:LONGEST_DESCRIPTION]
        if card != description:
            registry.describe_version(journal.model, entry.version, card)
            findings.append(_about("description", entry.version, "description differed from the card", "set again"))
    return findings


def _restored(journal: Journal, entry: JournalEntry) -> list[Finding]:
    found = rebuild.restore(journal, entry)
    return [found] if found else []


def _guarded(version: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    """What was found; that one version is broken keeps no other from being looked at."""
    try:
        return look()
    except (IntegrityError, InputError) as error:
        return [_about("broken", version, str(error), "nothing was changed", mended=False)]


def _about(kind: Kind, version: str, found: str, done: str, *, mended: bool = True) -> Finding:
    return Finding(kind=kind, version=version, found=found, done=done, mended=mended)


def _version(number: str | None) -> str:
    return f"version {number}" if number else "nothing"


def _strangers(journal: Journal, index: Index | None, published: dict[str, JournalEntry]) -> list[Finding]:
    """Versions in MLflow that no entry names."""
    if index is None:
        return []
    strangers = [version for version in index.versions if version not in published]
    by_key = {entry.run_key: entry.version for entry in published.values()}
    findings = []
    for version in sorted(strangers, key=int):
        tags = index.versions[version].tags
        twin = by_key.get(tags.get(RUN_KEY, ""))
        if twin:
            registry.delete_version(journal.model, version)
            findings.append(_about("duplicate", version, f"it is version {twin} once more", "deleted"))
        else:
            if UNPUBLISHED not in tags:
                registry.tag_version(journal.model, version, {UNPUBLISHED: "no journal entry names it"})
            found = f"version {version} is in MLflow, but no journal entry names it"
            findings.append(_about("stranger", version, found, f"left alone, with the tag {UNPUBLISHED}"))
    return findings


def _pointer(journal: Journal) -> Pointer | None:
    try:
        return journal.pointer()
    except IntegrityError:
        return None
