import pytest

from tasks.contracts import errors


def test_the_tree_in_the_docstring_names_every_error():
    classes = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, Exception)]
    assert len(classes) == 10
    for kind in classes:
        assert kind.__name__ in (errors.__doc__ or "")


@pytest.mark.parametrize("kind", [errors.ConfigError, errors.DataError, errors.ModelError])
def test_wrong_input_exits_with_two(kind):
    assert kind("x").exit_code == 2


@pytest.mark.parametrize(
    "kind", [errors.TrainingError, errors.GraphError, errors.UnavailableError, errors.ConflictError]
)
def test_a_failed_run_exits_with_one(kind):
    assert kind("x").exit_code == 1


def test_an_unknown_name_lists_at_most_twenty_known_ones():
    sentence = errors.unknown_name("column", "zz", [f"c{i:02}" for i in range(30)])
    assert "c19 and 10 more" in sentence and "did you mean" not in sentence
