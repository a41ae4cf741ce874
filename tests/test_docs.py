"""The verbs and options that the pages of the documentation give are those that exist."""

import re
from pathlib import Path

import click
import pytest

from fastbs.cli import VERBS, fastbs

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(page.relative_to(ROOT).as_posix() for page in ROOT.glob("docs/*.md"))
COMMAND = re.compile(rf"\bfastbs ({'|'.join(VERBS)})\b((?:\\\n|[^`\n])*)")


def options_given(text):
    """(verb, option) for each option that follows a verb, to the end of line or quotation."""
    for verb, rest in COMMAND.findall(text):
        yield from ((verb, option) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", rest.split(" -- ")[0]))


def options_known(verb):
    command = fastbs.get_command(click.Context(fastbs), verb)
    parts = command.commands.values() if isinstance(command, click.Group) else [command]
    return {option for part in parts for each in part.params for option in (*each.opts, *each.secondary_opts)}


@pytest.mark.parametrize("page", PAGES)
def test_every_option_on_the_page_is_one_of_its_verb(page):
    given = list(options_given((ROOT / page).read_text()))
    assert given, "a page without a command: is it found at all?"
    assert [(verb, option) for verb, option in given if option not in options_known(verb)] == []


def test_an_option_of_another_verb_would_be_noticed():
    text = "```\nfastbs train photos \\\n    --seeds 3 --gpus 2\n```\n`fastbs compare a b --gate g` and --none"
    assert list(options_given(text)) == [("train", "--seeds"), ("train", "--gpus"), ("compare", "--gate")]
    assert "--seeds" not in options_known("train")


@pytest.mark.parametrize("page", PAGES)
def test_every_page_that_a_page_links_to_exists(page):
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / page).read_text())
    assert [target for target in targets if not (ROOT / page).parent.joinpath(target).exists()] == []
