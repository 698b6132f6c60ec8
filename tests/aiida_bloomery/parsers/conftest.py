"""Calculations that never ran, with whatever a job may leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.plugins import ParserFactory

Parse = Callable[..., tuple[dict[str, orm.Data], orm.CalcFunctionNode]]

RESULT = {"schema_version": 1, "status": "finished", "summary": {}, "seconds": 1.5, "versions": {"bloomery": "0.1.0"}}


@pytest.fixture
def parse(computer: orm.Computer, tmp_path: Path) -> Parse:
    """Parse made-up results: ``parse("sample", {"start": node}, result={...}, files={name: bytes})``."""

    def run(
        name: str,
        inputs: dict[str, orm.Data],
        *,
        result: dict[str, Any] | str | None = None,
        kept: dict[str, str] | None = None,
        files: dict[str, bytes] | None = None,
        options: dict[str, Any] | None = None,
        exit_status: int | None = None,
    ) -> tuple[dict[str, orm.Data], orm.CalcFunctionNode]:
        entry = f"bloomery.{name}"
        node = orm.CalcJobNode(computer=computer, process_type=f"aiida.calculations:{entry}")
        for key, value in {"output_filename": "bloomery.out", "scheduler_stderr": "_scheduler-stderr.txt"}.items():
            node.set_option(key, value)
        for key, value in (options or {}).items():
            node.set_option(key, value)
        for key, value in inputs.items():
            node.base.links.add_incoming(value, LinkType.INPUT_CALC, key)
        if exit_status is not None:
            node.set_exit_status(exit_status)
        node.store()
        retrieved = orm.FolderData()
        texts = dict(kept or {})
        if result is not None:
            texts["result.json"] = result if isinstance(result, str) else json.dumps({**RESULT, **result})
        for path, text in texts.items():
            retrieved.put_object_from_bytes(text.encode(), path)
        retrieved.base.links.add_incoming(node, LinkType.CREATE, "retrieved")
        retrieved.store()
        for path, content in (files or {}).items():
            (tmp_path / path).write_bytes(content)
        parser = ParserFactory(f"bloomery.{name}")
        return parser.parse_from_node(node, store_provenance=False, retrieved_temporary_folder=str(tmp_path))

    return run
