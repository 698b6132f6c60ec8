"""Calculators that do not see along which vectors a frame is periodic: found by trying them, and listed by hand.

What is tried is the same slab with ``pbc`` along two vectors and along three, with little vacuum and with much: a
calculator that gives the first two the same energy, and not the last, takes every slab for a crystal.
"""

from __future__ import annotations

from bloomery.errors import InputError
from bloomery.frames.configurations import Configurations

WHOLE_OR_NONE = ("tblite.",)
"""Modules of calculators for which a frame that is periodic along some vector is periodic along all (tblite 0.8)."""


def check_periodicity(name: str, frames: Configurations, where: str = "") -> None:
    """Raise `InputError` for the first frame whose periodicity a calculator would take for another.

    Parameters
    ----------
    name
        Name of the calculator, ``module:Class`` for those that may be listed.
    where
        Stands before the number of the frame, as ``silicon.extxyz: ``.
    """
    if not name.startswith(WHOLE_OR_NONE):
        return
    partly = frames.pbc.any(axis=1) & ~frames.pbc.all(axis=1)
    if partly.any():
        raise InputError(
            f"{where}frame {int(partly.argmax())}: is periodic along some of its vectors, and {name!r} takes it to be "
            "so along all; give it pbc='T T T', with as much vacuum as the method needs, or another calculator."
        )
