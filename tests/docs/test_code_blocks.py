"""The code in the documentation works."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from typing import Any

import ase.io
import click
import pytest
import yaml
from aiida.cmdline.commands.cmd_verdi import verdi
from ase.build import molecule

import aiida_bloomery.cli
import bloomery.program.cli
from aiida_bloomery.campaign_file import load_campaign
from aiida_bloomery.campaign_file.model import CampaignFile
from bloomery.frames.configurations import Configurations
from bloomery.labellers.calculator import CalculatorLabeller
from bloomery.samplers.rattle_strain import RattleStrain


def test_python_blocks_of_a_page_run_one_after_the_other(python_page, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "docs"}
    for block in python_page.of("python"):
        # Empty lines before the code, so that a traceback has the line of the page.
        source = "\n" * block.line + block.text
        exec(compile(source, str(block.page), "exec"), namespace)


def test_functions_in_blocks_are_annotated_and_say_what_they_do(python_page) -> None:
    """The examples keep the rules that they come with."""
    for block in python_page.of("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.FunctionDef):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                bare = [
                    given.arg for given in arguments if given.annotation is None and given.arg not in ("self", "cls")
                ]
                assert not bare, f"{block.where}: {node.name} leaves {bare[0]} without a type"
                assert node.returns is not None, f"{block.where}: {node.name} leaves its result without a type"
                assert ast.get_docstring(node), f"{block.where}: {node.name} has no docstring"


def test_names_in_blocks_that_need_a_campaign_exist(page) -> None:
    """They are parsed, what they import is imported, and attributes of imported modules are looked up."""
    for block in page.of("{code-block} python"):
        tree = ast.parse(block.text)
        namespace: dict[str, Any] = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), block.where, "exec"), namespace)
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in namespace:
                assert hasattr(namespace[node.value.id], node.attr), f"{block.where}: {ast.unparse(node)}"


@pytest.fixture(scope="module")
def folder(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the campaign files of the documentation would lie, with the files that they name."""
    folder = tmp_path_factory.mktemp("campaigns")
    shutil.copy(root / "examples" / "silicon" / "si8.extxyz", folder)
    frames, _ = RattleStrain.make(frames=40).sample(Configurations.read(folder / "si8.extxyz"))
    labelled, _ = CalculatorLabeller.make(calculator="stillinger_weber").label(frames)
    for name in ("labelled", "trajectory", "test"):
        ase.io.write(folder / f"{name}.extxyz", labelled.without_info(*labelled.info).to_atoms())
    ase.io.write(folder / "water.extxyz", molecule("H2O"))
    return folder


def test_yaml_blocks_are_valid_campaign_files(yaml_block, folder: Path) -> None:
    """A fragment is held against the schema on top of the shortest file; a whole file is checked with its files too."""
    content = yaml.safe_load(yaml_block.text)
    base = {"name": "fragment", "structures": "si8.extxyz", "labelling": "quantumespresso"}
    CampaignFile.model_validate(base | content)
    path = folder / f"line-{yaml_block.line}.yaml"
    path.write_text(yaml.safe_dump(base | content), encoding="utf-8")
    load_campaign(path)


def find(words: list[str]) -> tuple[click.Command, click.Context, list[str]]:
    """The click command that a line calls, its context, and what is left of the line for it."""
    programs = {"bloomery": bloomery.program.cli.cli, "aiida-bloomery": aiida_bloomery.cli.main, "verdi": verdi}
    command: click.Command = programs[words[0]]
    context, rest = click.Context(command, info_name=words[0]), words[1:]
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        inner = command.get_command(context, rest[0])
        assert inner is not None, f"there is no command {rest[0]}"
        command, context, rest = inner, click.Context(inner, info_name=rest[0], parent=context), rest[1:]
    return command, context, rest


def test_commands_and_their_options_exist(command: list[str]) -> None:
    found, context, rest = find(command)
    found.make_parser(context).parse_args(list(rest))
