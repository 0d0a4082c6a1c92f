from types import SimpleNamespace

import pytest

from deployments.serving.library import Library, Served
from deployments.serving.refusal import Refusal


def version(number, model="m"):
    return Served(model, str(number), number, f"sha-{number}", SimpleNamespace(), SimpleNamespace(), 0.0)


def test_the_newest_answers_and_the_last_two_before_it_stay():
    library = Library()
    for number in range(1, 6):
        library.install(version(number))
    assert [each.version for each in library.served("m")] == ["5", "4", "3"]
    assert library.find("m").version == "5"
    assert library.find("m", "3").version == "3"
    with pytest.raises(Refusal, match="version '2' does not exist"):
        library.find("m", "2")


def test_a_version_stands_once_however_often_it_is_installed():
    library = Library()
    for number in (1, 2, 1, 1):
        library.install(version(number))
    assert [each.version for each in library.served("m")] == ["1", "2"]
    assert library.kept("m", "sha-2").version == "2"
    assert library.kept("m", "sha-3") is None
    assert library.kept("nobody", "sha-1") is None


def test_a_refusal_is_counted_and_takes_nothing_away():
    library = Library()
    library.install(version(1))
    library.refuse("m", "broken")
    library.refuse("m", "broken again")
    shelf = library.shelf("m")
    assert (shelf.refused, shelf.last_refusal, len(shelf.served)) == (2, "broken again", 1)


def test_a_snapshot_that_was_taken_does_not_change():
    library = Library()
    library.install(version(1))
    before, found = library.shelves(), library.find("m")
    library.install(version(2))
    assert before[0][1].served == (found,)
