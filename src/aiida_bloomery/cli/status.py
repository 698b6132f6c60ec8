"""`status`: services and campaigns, or one campaign."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from aiida_bloomery.cli.options import console, json_option, loaded, plain, print_json, profile_option, table

if TYPE_CHECKING:
    from aiida_bloomery.services import Services
    from aiida_bloomery.setup.home import Home

SHOWN = 20
"""Campaigns in the overview."""


@click.command("status")
@click.argument("pk", metavar="[PK]", required=False)
@click.option("--watch", "-w", is_flag=True, help="Watch the campaign until it ends; Ctrl-C leaves it alone.")
@profile_option
@json_option
def status_command(pk: str | None, watch: bool, profile: str | None, as_json: bool) -> None:
    """Show services, campaigns and searches that run, or one campaign by PK, UUID or name."""
    from aiida_bloomery import services  # noqa: PLC0415
    from aiida_bloomery.cli import display  # noqa: PLC0415
    from aiida_bloomery.provenance.progress import campaign_state, campaigns, load_campaign_node  # noqa: PLC0415

    home = loaded(profile)
    found = services.inspect(home)
    if pk is None and watch:
        active = [node.pk for node in campaigns() if not node.is_terminated]
        pk = str(active[0]) if active else None
    if pk is not None:
        node = load_campaign_node(pk)
        state = campaign_state(node.pk)
        if watch and state.active and not as_json:
            try:
                state = display.watch(node.pk, home)
            except KeyboardInterrupt:
                console.print("\nThe campaign goes on.")
                return
        if as_json:
            print_json(state.as_dict())
            return
        console.print(display.render(state, hint=False) if state.active else display.summary(state, {}))
        _print_services(home, found, only_problems=True)
        return
    from aiida_bloomery.provenance.convergence import running  # noqa: PLC0415  imports AiiDA, whose profile is loaded

    states, searches = [campaign_state(node.pk) for node in campaigns()[:SHOWN]], running()
    if as_json:
        where = {"home": str(home.folder), "profile": home.profile, "services": vars(found)}
        print_json({**where, "campaigns": [state.as_dict() for state in states], "searches": searches})
        return
    _print_services(home, found)
    _print_campaigns(states)
    for one in searches:
        name = plain(str(one["file"]))
        console.print(f"search {one['pk']} for converged settings of {name} runs; settings done: {one['places']}")


def _print_services(home: Home, found: Services, *, only_problems: bool = False) -> None:
    if not only_problems:
        whose = "our own" if home.own else "yours"
        console.print(f"profile {home.profile or 'default'} ({whose}) in {plain(home.folder)}")
    if found.healthy and not only_problems:
        queue = "" if found.pending is None else f"; queue: {found.processing} at work, {found.pending} waiting"
        console.print(f"daemon runs, {len(found.workers)} worker(s){queue}")
    for problem in found.problems:
        console.print(f"[yellow]{plain(problem)}[/]")
    for command in found.remedy:
        console.print(f"  to mend it: {command}")
    for note in found.notes:
        console.print(f"[yellow]{plain(note)}[/]")


def _print_campaigns(states: list[Any]) -> None:
    from aiida_bloomery.cli import display  # noqa: PLC0415

    if not states:
        console.print("No campaign yet; `aiida-bloomery run FILE` starts one.")
        return
    titles = ("PK", "name", "from", "state", "iteration", "labels", "force RMSE", "time")
    listed = table(*titles, left=titles, padding=1)
    for state in states:
        last = state.iterations[-1] if state.iterations else None
        budget = f"/{state.max_labels}" if state.max_labels else ""
        doing = display.stage_text(state) if state.active else display.ending(state)
        iteration, error = (str(last.iteration), last.error("forces")) if last else ("", None)
        numbers = f"{state.labels}{budget}", display.quantity(error), display.clock(state.seconds)
        begun = state.started[:16].replace("T", " ")
        listed.add_row(str(state.pk), plain(state.name), begun, doing, iteration, *numbers)
    console.print(listed)
