"""The README is held to what is there."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from tasks.contracts.config import RetrainConfig

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
RECIPES = sorted((ROOT / "tests/recipes").glob("*.yaml"))


def commands() -> dict[str, str]:
    """The subcommands of `ingot` with their help."""
    import typer.main

    from deployments.command.app import app

    return {name: command.help or "" for name, command in typer.main.get_command(app).commands.items()}


def test_the_two_commands_stand_within_twenty_five_lines():
    opening = README.splitlines()[:25]
    assert any(line.startswith("make run") for line in opening)
    assert any(line.startswith("make test") for line in opening)


def test_every_command_is_told_and_every_told_command_exists():
    told = set(re.findall(r"`?ingot ([a-z]+)", README))
    assert told == set(commands())


def test_every_command_has_help():
    assert all(commands().values())


def test_every_recipe_is_told():
    assert set(re.findall(r"`(\w+\.yaml)`", README)) - {"prefect.yaml"} == {path.name for path in RECIPES}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_is_a_valid_form(path):
    RetrainConfig.model_validate(yaml.safe_load(path.read_text()))


def test_the_recipes_in_the_readme_are_valid_forms():
    recipes = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    assert recipes
    for recipe in recipes:
        RetrainConfig.model_validate(yaml.safe_load(recipe))


def test_the_top_level_holds_what_was_agreed_and_no_more():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    visible = {line.split("/")[0] for line in tracked.splitlines()} - {".git"}
    visible = {name for name in visible if not name.startswith(".")}
    asked = {"pyproject.toml", "README.md", "flows", "tasks", "tests", "deployments", "data"}
    assert visible == asked | {"LICENSE", "Makefile", "constraints.txt"}


def test_the_samples_stay_under_a_megabyte():
    assert sum(path.stat().st_size for path in (ROOT / "data").rglob("*") if path.is_file()) < 1_000_000


def test_every_variable_of_ours_is_in_the_example():
    sources = [path for folder in ("flows", "tasks", "deployments") for path in (ROOT / folder).rglob("*.py")]
    # By which the supervisor knows its own children, and a serving process which of several it is.
    inner = {"INGOT_HELD_BY", "INGOT_SERVING_SLOT", "INGOT_SERVING_LISTENER"}
    named = {name for path in sources for name in re.findall(r"\bINGOT_[A-Z0-9_]+\b", path.read_text())}
    assert named - inner <= set(re.findall(r"\bINGOT_[A-Z0-9_]+\b", (ROOT / ".env.example").read_text()))
