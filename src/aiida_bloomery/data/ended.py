"""How a process ended: which one a failure began with, and what that says in one sentence."""

from __future__ import annotations

from aiida import orm

GIVEN_UP = ("The maximum number of iterations was exceeded", "The process failed with an unhandled failure")
"""How the messages of AiiDA's restarting workchains begin."""


def cause_of(node: orm.ProcessNode) -> orm.ProcessNode:
    """Return the process that a failure began with: the last of those called that failed, and so on down."""
    failed = [child for child in node.called if child.is_failed or child.is_excepted or child.is_killed]
    return cause_of(max(failed, key=lambda child: child.pk)) if failed and not node.is_finished_ok else node


def how_it_ended(node: orm.ProcessNode) -> str:
    """Say how a process ended: its message, else what was said or raised in what it called; else its state.

    That a wrapper gave up says nothing, and what it wraps is asked.
    """
    for ended in (node, cause_of(node)):
        message = str(ended.exit_message or "")
        if message and not (ended is node and message.startswith(GIVEN_UP)):
            return message
        if ended.exception:
            return str(ended.exception).strip().splitlines()[-1]
    state = node.process_state.value if node.process_state else "lost"
    return node.exit_message or f"{node.process_label} <{node.pk}> ended as {state}."
