"""Campaigns in archives of AiiDA: which there are, and one of them in this profile."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from aiida import orm
from aiida.common.exceptions import AiidaException, NotExistent
from aiida.tools.archive import import_archive
from aiida.tools.archive.exceptions import ExportImportException
from aiida.tools.archive.implementations.sqlite_zip.main import ArchiveFormatSqlZip

from aiida_bloomery.provenance.progress import CAMPAIGN_TYPE
from bloomery.errors import InputError


def campaign_in(path: Path, name: str | None = None) -> Any:
    """Return a campaign of an archive; its nodes are imported unless this profile has them already.

    Parameters
    ----------
    name
        Its name or UUID, where the archive holds several.

    Raises
    ------
    InputError
        If the file is no archive or one of another version, or it holds no such campaign, or several.
    """
    there = campaigns_in(path)
    fitting = {uuid: label for uuid, label in there.items() if name in (None, uuid, label)}
    if not fitting:
        which = "" if name is None else f" {name}, but {_listed(there)}"
        raise InputError(f"{path}: holds no campaign{which if there else ''}; name another archive.")
    if len(fitting) > 1:
        raise InputError(f"{path}: holds {_listed(fitting)}; say which by `campaign: UUID`.")
    (uuid,) = fitting
    try:
        return orm.load_node(uuid=uuid)
    except NotExistent:
        _imported(path)
        return orm.load_node(uuid=uuid)


def campaigns_in(path: Path) -> dict[str, str]:
    """Return UUID and name of each campaign in an archive, the latest first; `InputError` if it cannot be read."""
    form = ArchiveFormatSqlZip()
    try:
        version = form.read_version(path)
        if version != form.latest_version:
            raise InputError(
                f"{path}: is an archive of version {version}, and this AiiDA reads {form.latest_version}; write it "
                "anew: `verdi archive migrate OLD NEW`."
            )
        with form.open(path, "r") as reader:
            query = orm.QueryBuilder(backend=reader.get_backend())
            query.append(
                orm.WorkChainNode,
                filters={"process_type": CAMPAIGN_TYPE},
                project=["uuid", "label"],
                tag="campaign",
            )
            return dict(query.order_by({"campaign": {"ctime": "desc"}}).all())
    except (OSError, AiidaException) as error:
        raise InputError(f"{path}: cannot be read as an archive of AiiDA ({error}); export it anew.") from error


def _listed(found: dict[str, str]) -> str:
    return ", ".join(f"{label or 'one without name'} ({uuid})" for uuid, label in found.items())


def _imported(path: Path) -> None:
    """Bring all nodes of an archive into this profile; AiiDA's tables of what it does are not shown."""
    logger = logging.getLogger("aiida")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        import_archive(path, create_group=False)
    except (OSError, AiidaException, ExportImportException) as error:
        raise InputError(f"{path}: cannot be imported ({error}); export it anew.") from error
    finally:
        logger.setLevel(level)
