"""`plugins` and `schema`: what there is to write into a campaign file."""

from __future__ import annotations

from pathlib import Path

import click
from rich.table import Table

from aiida_bloomery.cli.options import console, json_option, print_json, to_option


@click.command("plugins")
@click.argument("kind", required=False)
@json_option
def plugins_command(kind: str | None, as_json: bool) -> None:
    """Show what is registered of each KIND, with its settings and their defaults."""
    from aiida_bloomery.campaign_file.schema import describe_plugins  # noqa: PLC0415

    found = describe_plugins(kind)
    if as_json:
        print_json({name: [plugin.as_dict() for plugin in plugins] for name, plugins in found.items()})
        return
    for name, plugins in found.items():
        console.print(f"\n[bold]{name}[/]")
        for plugin in plugins:
            console.print(f"  [cyan]{plugin.name}[/]  {plugin.summary}")
            if plugin.problem:
                console.print(f"    [yellow]{plugin.problem}[/]")
            grid = Table.grid(padding=(0, 2))
            for setting in plugin.settings:
                default = "required" if setting.required else setting.default
                grid.add_row("   ", setting.name, str(default), setting.description)
            console.print(grid)


@click.command("schema")
@to_option("file", "Write it to this file.")
def schema_command(file: Path | None) -> None:
    """Print the JSON Schema of campaign files, for editors that complete and check YAML."""
    from aiida_bloomery.campaign_file.schema import schema_text  # noqa: PLC0415

    text = schema_text()
    if file is None:
        click.echo(text, nl=False)
    else:
        file.write_text(text, encoding="utf-8")
