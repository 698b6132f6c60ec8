"""Where our own profile lives, and which profile a command works on."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from bloomery.errors import InputError

OWN_PROFILE = "bloomery"
HOME_NAME = ".bloomery"
HOME_VARIABLE = "BLOOMERY_HOME"
PATH_VARIABLE = "AIIDA_PATH"
MARKER = "home.json"
"""The file that makes a folder a home of ours."""


@dataclass(frozen=True)
class Home:
    """The profile that a command works on."""

    folder: Path
    """What ``AIIDA_PATH`` points to; of our own profile it also holds the jobs' work folders."""
    profile: str
    """Name of the AiiDA profile; empty for the user's default profile."""
    own: bool
    """Whether the profile is ours: then its daemon and broker are ours to start, mend and stop."""
    elsewhere: bool = False
    """Whether nobody named it, and it is not in the present folder or above: beside the source of this package."""

    @property
    def work(self) -> Path:
        """Where the jobs of this machine run."""
        return self.folder / "work"

    @property
    def export_line(self) -> str:
        """The shell line after which plain ``verdi`` sees the profile."""
        return f"export {PATH_VARIABLE}={self.folder}"

    def activate(self) -> None:
        """Point AiiDA to this home. To be called before ``aiida`` is imported.

        The folder of this interpreter's programs leads ``PATH``: AiiDA starts its daemon by the name ``verdi``.
        """
        programs = str(Path(sys.executable).parent)
        path = os.environ.get("PATH", os.defpath)
        if path.split(os.pathsep)[0] != programs:
            os.environ["PATH"] = os.pathsep.join([programs, path])
        if self.own:
            os.environ[PATH_VARIABLE] = str(self.folder)

    def mark(self) -> None:
        """Make the folder, and the file that lets `find_home` recognise it."""
        # AiiDA warns when it makes this folder itself.
        (self.folder / ".aiida").mkdir(parents=True, exist_ok=True)
        (self.folder / MARKER).write_text(json.dumps({"profile": self.profile}) + "\n", encoding="utf-8")


def find_home(profile: str | None = None, start: Path | None = None) -> Home:
    """Return the home a command works on.

    A profile given by name is the user's own, wherever their AiiDA lives. Otherwise ours: the folder in
    ``BLOOMERY_HOME``; what ``AIIDA_PATH`` points to, if `setup` made it; the nearest ``.bloomery`` in the present
    folder or above it; the one beside the source this package is installed from; a new one in the present folder.
    """
    if profile is not None and not (profile == OWN_PROFILE and _is_home(_aiida_path())):
        return Home(_aiida_path(), profile, own=False)
    if HOME_VARIABLE in os.environ:
        folder = Path(os.environ[HOME_VARIABLE]).expanduser().resolve()
    elif _is_home(_aiida_path()):
        folder = _aiida_path()
    else:
        start = (start or Path.cwd()).resolve()
        above = next((place for place in (start, *start.parents) if _is_home(place / HOME_NAME)), None)
        checkout = None if above else _checkout()
        folder = (above or checkout or start) / HOME_NAME
        return Home(folder, OWN_PROFILE, own=True, elsewhere=checkout is not None)
    return Home(folder, OWN_PROFILE, own=True)


def load_profile(home: Home) -> None:
    """Load the profile of a home.

    Raises
    ------
    InputError
        If there is no such profile.
    """
    home.activate()
    if home.own and not _is_home(home.folder):
        raise InputError(f"{home.folder}: is not set up; run `aiida-bloomery setup` first.")
    from aiida import load_profile as load  # noqa: PLC0415
    from aiida.common.exceptions import ConfigurationError, ProfileConfigurationError  # noqa: PLC0415
    from aiida.manage.configuration import get_config  # noqa: PLC0415

    try:
        load(home.profile or None)
    except (ConfigurationError, ProfileConfigurationError) as error:
        if home.own:
            raise InputError(f"{home.folder}: is not set up; run `aiida-bloomery setup` first.") from error
        try:
            known = ", ".join(get_config().profile_names) or "none"
        except ConfigurationError:
            known = "none"
        raise InputError(
            f"profile {home.profile!r} does not exist in {home.folder / '.aiida'} (there: {known}); correct the name, "
            "or unset AIIDA_PATH if it points elsewhere."
        ) from error


def _aiida_path() -> Path:
    return Path(os.environ.get(PATH_VARIABLE, "~").split(os.pathsep)[0]).expanduser().resolve()


def _is_home(folder: Path) -> bool:
    return (folder / MARKER).is_file()


def _checkout() -> Path | None:
    """Return the folder of the source that this package is installed from, if it is."""
    folder = Path(__file__).resolve().parents[3]
    return folder if (folder / "pyproject.toml").is_file() and (folder / "constraints.txt").is_file() else None
