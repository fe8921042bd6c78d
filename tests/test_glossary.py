"""Code uses the words of docs/glossary.md: one word, one meaning."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
SOURCES = sorted(path for package in ("trainer", "predictor", "deploy") for path in (ROOT / package).rglob("*.py"))
CODE = re.compile(r"`([a-z_]+)`")


def read_refused_words() -> set[str]:
    """The words in the last column of the glossary's tables, and those of its last section."""
    rows = [line.strip("| ").split("|") for line in GLOSSARY.splitlines() if line.startswith("|")]
    in_tables = {word for row in rows if len(row) == 4 for word in CODE.findall(row[3])}
    return in_tables | set(CODE.findall(GLOSSARY.split("## Words that say nothing")[1].split("A name says")[0]))


def list_identifiers(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """List line and name of every variable, parameter, attribute, function and class of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.attr


def test_the_glossary_names_the_words_it_refuses():
    assert {"look", "twin", "found", "told"} <= read_refused_words()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_name_is_a_word_that_the_glossary_refuses(path):
    refused = read_refused_words()
    wrong = [
        f"{path.name}:{line} {name}"
        for line, name in list_identifiers(ast.parse(path.read_text()))
        if name.strip("_").lower() in refused
    ]
    assert not wrong, "\n".join(wrong)


def test_a_class_name_has_one_meaning():
    names = Counter(
        node.name
        for path in SOURCES
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in names.items() if count > 1] == []


def test_a_file_that_the_glossary_names_exists():
    named = re.findall(r"`((?:trainer|predictor|deploy|data|imaging|artifact|training|evaluation)/[\w/.]*)`", GLOSSARY)
    missing = [path for path in named if not any((ROOT / folder / path).exists() for folder in (".", "trainer"))]
    assert named
    assert not missing
