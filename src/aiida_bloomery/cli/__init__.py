"""The campaign command line, ``aiida-bloomery``. Command modules are imported when their command is called."""

from __future__ import annotations

import importlib
from typing import Any

import click

from bloomery.program.console import in_one_sentence

COMMANDS: dict[str, tuple[str, str]] = {
    "setup": ("setup", "Make profile, computer, codes and pseudopotentials; start the daemon."),
    "cluster": ("cluster", "Add a computer with a queue: computer, codes, the package there, and a rehearsal."),
    "check": ("campaign", "Check a campaign file and print its plan."),
    "converge": ("converge", "Find the cheapest settings of the labeller that are dense enough."),
    "run": ("campaign", "Run a campaign file and watch it; attach to it if it runs."),
    "submit": ("campaign", "Submit a campaign file and print its PK."),
    "extend": ("extension", "Go on with a campaign that has ended, under new targets, budgets or samplers."),
    "relabel": ("extension", "Label the data set of a campaign that has ended again, by another method."),
    "status": ("status", "Show services and campaigns, or one campaign."),
    "report": ("results", "Write the report of a campaign, one HTML page."),
    "lineage": ("results", "Trace a frame of the data set back to its origin."),
    "selection": ("selection", "Show what each selector dropped and why, and what became of a frame."),
    "ledger": ("results", "Show what happened to every frame that was to be labelled."),
    "accept": ("words", "Accept labels that are suspect or were taken out."),
    "set-aside": ("words", "Keep labels out of training without calling them wrong."),
    "retract": ("words", "Retract labels that are wrong, by frame, label job, code version or query."),
    "retry": ("words", "Label frames once more, with the labeller's settings or others."),
    "retrain": ("words", "Train a campaign that has ended on what words on its labels have left."),
    "export": ("results", "Write data set, potential and manifest to a folder."),
    "end": ("endings", "End a campaign that runs; what it has computed is kept."),
    "archive": ("endings", "Write a campaign with its provenance into one file, for another home."),
    "delete": ("endings", "Delete a campaign and what it made."),
    "learning-curve": ("models", "Measure how the error falls with the number of training frames."),
    "cross-validate": ("models", "Measure errors by cross-validation."),
    "search": ("models", "Search for better settings of an engine."),
    "learn": ("properties", "Learn a property beyond the energy, such as the dipole."),
    "plugins": ("plugins", "Show what is registered of each kind, with its settings."),
    "schema": ("plugins", "Print the schema of campaign files, for editors."),
    "stop": ("setup", "Stop the daemon of our own profile; campaigns go on when it starts again."),
}
"""Command name to the module here that defines it, and its line in the help."""

BAD_INPUT = 2


class LazyGroup(click.Group):
    """A group that knows its commands by name, and turns our errors into one sentence and exit status 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the commands' names in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command."""
        if name not in COMMANDS:
            return None
        module = importlib.import_module(f"{__name__}.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, f"{name.replace('-', '_')}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with in_one_sentence(failed=BAD_INPUT):
            return super().invoke(ctx)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="aiida-bloomery")
def main() -> None:
    """Run reinforcement campaigns for interatomic potentials, and look at what they gave."""
