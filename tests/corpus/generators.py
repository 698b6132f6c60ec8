"""Strategies that make inputs for the command lines: good ones, spoilt in one to three places."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeVar

import click
import numpy as np
import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st
from tests.corpus.materials import ACSF, TRAINING, Files

from bloomery.plugins import KINDS, find_plugin, registered
from bloomery.program.cli import cli

Draw = Callable[..., Any]
Value = TypeVar("Value")


@dataclass(frozen=True)
class Input:
    """What somebody types, beside the files that it is about."""

    arguments: list[str]
    files: Files = field(default_factory=dict)
    program: str = "bloomery"


def examples(strategy: st.SearchStrategy[Value], n: int, seed: int | None = None) -> list[Value]:
    """Return ``n`` examples, the same each time unless a seed is given."""
    found: list[Value] = []

    @settings(max_examples=n, derandomize=seed is None, database=None, deadline=None, phases=[Phase.generate],
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def collect(example: Value) -> None:
        found.append(example)

    (collect if seed is None else hypothesis_seed(seed)(collect))()
    return found


# -- spoiling -----------------------------------------------------------------------------------------------------

ODD_WORDS = (
    "nan", "inf", "-inf", "-1", "0", "1e308", "1e-320", "1e400", "7", "99999999999999999999", "-9223372036854775808",
    "2147483648", "1.5", "1d0", "1,5", "****************", "None", "T", "x", "X", "Xx", "Cu1", "D", "Uuo", "[1,", "{",
    '"', "'", "é", "\N{SNOWMAN}", "\x00", "\x1b[31m", "=", "a=b", "energy=", "#", "!!", "&a", "../..", "A" * 300,
)  # fmt: skip
ODD_VALUES = (
    None, True, False, -1, 0, 1, 2, 1.5, -0.5, 10**30, -(10**30), 2**63, float("nan"), float("inf"), 1e308, 1e-320, "",
    " ", "x", "random", "1e5", "10 %", "3 eV", "12:30:00", "::0", "\x00", "\x1b[31m", "é" * 200, "../..", "good.extxyz",
    "a\nb", "{", "[1,", "~", [], {}, [[]], [None], [1, 2, 3], ["x", 1], [1, [2, [3]]], {"a": None}, {"a": {"b": 1}},
    {1: 2}, {None: 1}, {"name": "x"}, {"settings": {}}, [0] * 50, "Cu", ["Cu", "Cu"], {"Cu": "low"},
)  # fmt: skip
odd_words = st.sampled_from(ODD_WORDS)
odd_values = st.sampled_from(ODD_VALUES)
how_many = st.sampled_from([1, 1, 1, 2, 3])


@st.composite
def spoilt_text(draw: Draw, content: bytes) -> bytes:
    """A text with words or lines of it changed, or bytes."""
    for _ in range(draw(how_many)):
        content = draw(spoilt_lines(content) if draw(st.integers(0, 3)) else spoilt_bytes(content))
    return content


@st.composite
def spoilt_lines(draw: Draw, content: bytes) -> bytes:
    """A text in which a line, or a word in it, is another."""
    lines = content.decode("latin-1").split("\n")
    place = draw(st.integers(0, len(lines) - 1))
    words = lines[place].split(" ")
    word = draw(st.integers(0, len(words) - 1))
    how = draw(st.sampled_from(["word", "word", "word", "value", "fewer", "more", "drop", "twice", "swap", "new"]))
    if how == "word":
        words[word] = draw(odd_words)
    elif how == "value":
        key, sign, _ = words[word].partition("=")
        words[word] = f"{key}{sign}{draw(odd_words)}"
    elif how == "fewer":
        del words[word]
    elif how == "more":
        words.insert(word, draw(odd_words))
    lines[place] = " ".join(words)
    if how == "drop":
        del lines[place]
    elif how == "twice":
        lines.insert(place, lines[place])
    elif how == "swap":
        other = draw(st.integers(0, len(lines) - 1))
        lines[place], lines[other] = lines[other], lines[place]
    elif how == "new":
        lines.insert(place, draw(odd_words))
    return "\n".join(lines).encode("utf-8", errors="replace")


@st.composite
def spoilt_bytes(draw: Draw, content: bytes) -> bytes:
    """A file that is cut, or has other bytes, or another encoding."""
    how = draw(st.sampled_from(["cut", "cut", "flip", "flip", "flip", "empty", "utf-16", "bom", "tail", "crlf"]))
    place = draw(st.integers(0, max(len(content) - 1, 0)))
    if how == "cut":
        return content[:place]
    if how == "flip":
        return content[:place] + bytes([draw(st.integers(0, 255))]) + content[place + 1 :]
    others = {
        "empty": b"",
        "utf-16": content.decode("latin-1").encode("utf-16"),
        "bom": b"\xef\xbb\xbf" + content,
        "tail": content + b"\0" * 100,
        "crlf": content.replace(b"\n", b"\r\n"),
    }
    return others[how]


@st.composite
def spoilt_tree(draw: Draw, tree: Any) -> Any:
    """Nested mappings and lists in which one to three values or keys are others."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(how_many)):
        place = draw(st.sampled_from([*_places(tree)] or [((), None)]))
        spoil(draw, tree, *place)
    return tree


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every mapping or list with each of its keys or indices."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    return [(tree, key) for key in keys] + [place for key in keys for place in _places(tree[key])]


def spoil(draw: Draw, tree: Any, node: Any, key: Any) -> None:
    """Change what stands at a place of a tree."""
    if node == ():
        return
    how = draw(st.sampled_from(["value", "value", "value", "drop", "rename", "list", "nest", "more", "top"]))
    if how == "value":
        node[key] = copy.deepcopy(draw(odd_values))
    elif how == "list":
        node[key] = [node[key]]
    elif how == "nest":
        node[key] = {draw(st.sampled_from(["value", "name", str(key)])): node[key]}
    elif how == "drop":
        del node[key]
    elif how == "top" and isinstance(tree, dict):
        tree[str(key)] = node.pop(key)
    elif isinstance(node, dict):
        name = draw(st.sampled_from([str(key)[:-1], str(key).upper(), f"{key}s", "", "é", "a b", 7, None, True]))
        node[name] = node.pop(key) if how == "rename" else copy.deepcopy(draw(odd_values))
    elif isinstance(node, list):
        node.append(copy.deepcopy(draw(odd_values)))


@st.composite
def spoilt_arrays(draw: Draw, content: bytes) -> bytes:
    """An archive of numpy in which one to three arrays are others."""
    with np.load(BytesIO(content)) as archive:
        arrays = dict(archive)
    for _ in range(draw(how_many)):
        name = draw(st.sampled_from(sorted(arrays) or ["counts"]))
        array = arrays.get(name, np.zeros(2))
        some = array.size // 2
        how = draw(st.sampled_from(sorted([*CHANGES, "value", "value", "drop", "rename"])))
        if how == "drop":
            arrays.pop(name, None)
        elif how == "rename":
            arrays[draw(st.sampled_from(["x", "info:step", "info:role", "label:energy", "mask:dipole", "info:"]))] = (
                array
            )
        elif how == "value":
            array = array.copy()
            odd = draw(st.sampled_from([np.nan, np.inf, -1, 0, 3, 999, 1e300, 2**62]))
            if array.size and array.dtype.kind in "iufb":
                with np.errstate(all="ignore"):
                    array.flat[some] = np.array(odd).astype(array.dtype)
            arrays[name] = array
        else:
            arrays[name] = CHANGES[how](array)
    buffer = BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


CHANGES: Mapping[str, Callable[[Any], Any]] = {
    "short": lambda array: array[:-1] if array.ndim else array,
    "long": lambda array: np.concatenate([array, array]) if array.ndim else array,
    "none": lambda array: array[:0] if array.ndim else array,
    "flat": lambda array: array.ravel(),
    "deep": lambda array: array[None],
    "scalar": lambda array: np.array(3.0),
    "text": lambda array: np.full(array.shape, "x"),
    "objects": lambda array: np.full(array.shape, None),
    "complex": lambda array: array.astype(complex) if array.dtype.kind in "iufb" else array,
    "single": lambda array: array.astype("float32") if array.dtype.kind in "iufb" else array,
    "whole": lambda array: np.zeros(array.shape, dtype="int8"),
    "swapped": lambda array: array.astype(array.dtype.newbyteorder()),
    "fortran": np.asfortranarray,
    "fields": lambda array: np.zeros(array.shape, dtype=[("a", "f8"), ("b", "i4")]),
    "dates": lambda array: np.zeros(array.shape, dtype="datetime64[s]"),
}


# -- files with frames ---------------------------------------------------------------------------------------------

USES = (
    "convert {0} --check {1}",
    "convert {0} --check --json {1}",
    "convert {0} --out o.extxyz {1}",
    "convert {0} --out o.npz {1}",
    "convert {0} --out o.data {1}",
    "convert good.extxyz {0} --out o.npz {1}",
    "select --pool {0} -s sanity -s duplicates --no-probe --out o.extxyz",
    "select --pool {0} --data good.extxyz -s farthest_point:frames=2 --out o.npz",
    "select --pool {0} -s disagreement:frames=2 --potential pot --out o.npz",
    "select --pool good.extxyz --data {0} -s random:frames=2 --out o.npz",
    f"train {{0}} {TRAINING} --out o",
    f"train good.extxyz {{0}} {TRAINING} --out o",
    f"train {{0}} {ACSF} --energy-reference Cu=-3.5 --out o",
    "predict pot {0} --out o.extxyz",
    "predict acsf {0} --out o.npz",
    "observe errors {0} --potential pot",
    "observe errors {0} --potential pot --arrays o.npz --json",
    "observe rdf {0} --potential pot --reference {0}",
    "describe {0} --set radial=3 --set max_degree=1 --out o.npz",
    "label {0} --set calculator=emt --out o.extxyz",
    "label bare.extxyz --labeller lookup --set library={0} --out o.extxyz",
    "sample rattle_strain --start {0} --set frames=2 --out o.extxyz",
    "sample md --start {0} --potential pot --set steps=2 --set interval=1 --out o.extxyz",
    "import n2p2 --format n2p2 --to o --test {0}",
    "export pot --format ase --to o --test {0}",
)
KEYS = (
    "energy", "REF_energy", "dft_energy", "free_energy", "Energy", "stress", "virial", "REF_virial", "forces", "charge",
    "spin", "total_charge", "multiplicity", "tot_magnetization", "electronic_temperature", "initial_magmoms", "masses",
    "initial_charges", "role", "block", "temperature", "config_type", "step", "pbc", "Lattice", "Properties", "weight",
    "é", "a.b", "_x", "numbers", "positions", "cell", "info", "source_frame", "disagreement", "frames", "iteration",
    "hash",
)  # fmt: skip
KEY_VALUES = (
    "0", "1", "2", "-1", "inf",
    "-3.5", "nan", "1e300", "7", "T", '"T T F"', "{1 2 3}", "[1, 2, 3]", '"1 0 0 0 1 0 0 0 1"', '"0 0 0 0 0 0 0 0 0"',
    '"4 0 0 0 4 0 0 0 4"', '"4 0 0 4 0 0 0 0 4"', '"1e7 0 0 0 1 0 0 0 1"', '"0.01 0 0 0 0.01 0 0 0 0.01"', "melt", "",
    '""', "é", "None", "IsolatedAtom", "train", "probe", "_JSON {", '_JSON {"a": [1, null]}', "_JSON [[1], [2, 3]]",
    "species:S:1:pos:R:3", "species:S:1:pos:R:3:forces:R:3", "Z:I:1:pos:R:3", "pos:R:3", "species:S:1:pos:R:2",
    "species:S:1:pos:R:3:pos:R:3", "species:S:0:pos:R:3", "99999999999999999999", "true", "1e5 eV",
)  # fmt: skip
COLUMNS = (
    ":forces:R:3", ":forces:R:3", ":forces:R:3", ":initial_magmoms:R:3", ":initial_magmoms:R:1:masses:R:1:charge:R:1",
    ":initial_magmoms:R:1:masses:R:1:initial_charges:R:1", ":masses:R:3",
)  # fmt: skip
"""What three further columns are said to hold."""
ELEMENTS = ("Cu", "Cu", "H", "Au", "U", "Og", "X", "Cu1", "29", "-1", "0")
NUMBERS = ("0", "0.0", "1.8", "2.5", "3.61", "-4", "1e5", "1e7", "nan", "inf", "1e-300", "x", "1d0")


@st.composite
def extxyz(draw: Draw) -> bytes:
    """Frames in extended XYZ from scratch: their keys and columns are odd, their atoms may be anywhere."""
    text = ""
    for _ in range(draw(st.integers(1, 3))):
        n = draw(st.integers(0, 3))
        columns = draw(st.sampled_from([3, 3, 3, 6, 2]))
        pairs = [
            (draw(st.sampled_from(KEYS)), draw(st.sampled_from(KEY_VALUES))) for _ in range(draw(st.integers(0, 4)))
        ]
        if draw(st.booleans()):
            more = draw(st.sampled_from(COLUMNS)) if columns == 6 else ""
            pairs.append(("Properties", "species:S:1:pos:R:3" + more))
        text += f"{n + draw(st.sampled_from([0, 0, 0, 0, 1, -1]))}\n"
        text += " ".join(f"{key}={value}" for key, value in pairs) + "\n"
        for _ in range(n):
            numbers = [draw(st.sampled_from(NUMBERS[: draw(st.sampled_from([5, 5, 5, 13]))])) for _ in range(columns)]
            text += " ".join([draw(st.sampled_from(ELEMENTS[: draw(st.sampled_from([2, 2, 11]))])), *numbers]) + "\n"
    return text.encode()


@st.composite
def data_inputs(draw: Draw, formats: Mapping[str, Files]) -> Input:
    """A file with frames in some format, and a command on it."""
    kind = draw(st.sampled_from(["extxyz", "new", "new", "npz", "npz", *formats]))
    if kind == "new":
        files = {"a.extxyz": draw(extxyz())}
    else:
        files = dict(formats[kind])
        name = draw(st.sampled_from(sorted(files)))
        if kind == "npz" and draw(st.integers(0, 4)):
            files[name] = draw(spoilt_arrays(files[name]))
        elif name.endswith((".npy", ".traj", ".db", ".h5", ".npz")):
            files[name] = draw(spoilt_bytes(files[name]))
        else:
            files[name] = draw(spoilt_text(files[name]))
    read = next(iter(files))
    read = read.split("/")[0]
    further = "--elements Cu" if kind in {"dump", "mtp"} else draw(st.sampled_from(["", "", "", "--prefix REF_"]))
    return Input(draw(st.sampled_from(USES)).format(read, further).split(), files)


# -- campaign files ------------------------------------------------------------------------------------------------

SNIPPETS = (
    "&a", "*a", "!!python/object:os.system", "!!binary abc", "<<: *x", "<<: {a: 1}", "---", "...", "? [a]\n: b", "\t",
    "%YAML 9.9", "- - -", "{", "}", "key: key: key", "'", '"\\x00"', "!!set {a}", "!!float x", "!!int 'x'",
    "!!timestamp 2001", "2001-99-99", "name: again", "? ", ": ", "~: ~", "0o777: 0x1F", "a: &a [*a]",
    "b: [&x {c: *x}]", "!<tag> x", "!!omap [a: 1]", "|\n x", ">",
)  # fmt: skip
WHOLE = (
    b"", b"\n\n", b"# nothing\n", b"---\n---\n", b"[]", b"- a\n- b\n", b"7", b"text", b"~", b"{}", b"\xff\xfe\x00",
    b"\x00", b"a: " + b"[" * 2000, b"name: \xc3\x28", b"null: 1\n", b"{1: 2}", b"? {a: 1}\n: 2\n", b"a: &a [*a]\n",
    b"&a [*a]\n", b"name: &n x\nstructures: *m\n", b"x" * 100000,
)  # fmt: skip


@st.composite
def campaign_inputs(draw: Draw, campaigns: Sequence[str]) -> Input:
    """A campaign file, and its check."""
    text = draw(st.sampled_from(campaigns))
    how = draw(st.sampled_from(["tree"] * 8 + ["text"] * 3 + ["snippet"] * 2 + ["whole"]))
    if how == "tree":
        content = yaml.safe_dump(
            draw(spoilt_tree(yaml.safe_load(text))), allow_unicode=draw(st.booleans()), sort_keys=False
        ).encode("utf-8")
    elif how == "text":
        content = draw(spoilt_text(text.encode()))
    elif how == "whole":
        content = draw(st.sampled_from(WHOLE))
    else:
        lines = text.split("\n")
        place = draw(st.integers(0, len(lines) - 1))
        snippet = draw(st.sampled_from(SNIPPETS))
        if draw(st.booleans()):
            lines.insert(place, snippet)
        else:
            lines[place] = f"{lines[place].partition(':')[0]}: {snippet}"
        content = "\n".join(lines).encode()
    options = draw(st.sampled_from([[], [], ["--json"], ["--rehearse"]]))
    return Input(["check", "c.yaml", "--file-only", *options], {"c.yaml": content}, "aiida-bloomery")


# -- potentials ----------------------------------------------------------------------------------------------------

ON_POTENTIALS = (
    "predict {0} good.extxyz --out o.extxyz",
    "predict {0} good.npz --out o.npz --no-stress",
    "observe errors good.extxyz --potential {0}",
    "select --pool good.extxyz -s disagreement:frames=2 --potential {0} --out o.npz",
    "sample md --start bare.extxyz --potential {0} --set steps=2 --set interval=1 --out o.extxyz",
    "export {0} --format ase --to o --test good.extxyz",
    "export {0} --format n2p2 --to o",
    "export {0}",
    f"train good.extxyz {TRAINING} --start-from {{0}} --out o",
)
ON_N2P2 = (
    "import {0} --format n2p2 --to o",
    "import {0} --format n2p2 --to o --test good.extxyz",
    "import {0} --format n2p2 --to o --units Å,eV --test bare.extxyz",
)


@st.composite
def potential_inputs(draw: Draw, potentials: Mapping[str, Files]) -> Input:
    """The files of a potential, and a command that loads it."""
    kind = draw(st.sampled_from(sorted(potentials)))
    files = dict(potentials[kind])
    name = draw(st.sampled_from(sorted(files)))
    if draw(st.integers(0, 15)) == 0:
        del files[name]
    elif name.endswith(".npz"):
        files[name] = draw(spoilt_bytes(files[name]) if draw(st.integers(0, 4)) == 0 else spoilt_arrays(files[name]))
    elif name.endswith(".json") and draw(st.integers(0, 4)):
        files[name] = json.dumps(draw(spoilt_tree(json.loads(files[name]))), default=str, skipkeys=True).encode()
    else:
        files[name] = draw(spoilt_text(files[name]))
    if "potential.json" in files and draw(st.integers(0, 9)):
        files["potential.json"] = without_digest(files["potential.json"])
    uses = ON_N2P2 if kind == "n2p2" else ON_POTENTIALS
    return Input(
        draw(st.sampled_from(uses)).format("odd").split(), {f"odd/{key}": value for key, value in files.items()}
    )


def without_digest(content: bytes) -> bytes:
    """A potential as earlier versions wrote it, whose files are not compared with what was written."""
    try:
        tree = json.loads(content)
    except ValueError:
        return content
    if isinstance(tree, dict):
        tree.pop("digest", None)
    return json.dumps(tree).encode()


# -- command lines -------------------------------------------------------------------------------------------------

SHORT = "--set dynamics.steps=4 --set dynamics.interval=1 --set dynamics.equilibration=1"
LINES = (
    "sample md --start bare.extxyz --potential pot --set steps=3 --set interval=1 --set temperatures=[9] --out o.npz",
    "sample rattle_strain --start bare.extxyz --set frames=3 --out o.extxyz",
    "sample surfaces --start POSCAR --set frames=1 --out o.npz",
    "sample supercells --start bare.extxyz --set repeats=[[1,1,1]] --out o.npz",
    "sample dimers --start bare.extxyz --out o.npz",
    "sample defects --start bare.extxyz --out o.npz",
    "describe good.extxyz --set radial=3 --set max_degree=1 --out d.npz",
    "describe good.npz --descriptor acsf --element Cu --out d.npz",
    "select --pool good.extxyz --data good.npz -s sanity -s duplicates -s random:frames=2 --out o.extxyz",
    "select --pool good.extxyz -s disagreement:lower=0.05,frames=2 --potential pot --max-frames 3 --out o.npz",
    "select --pool good.extxyz -s farthest_point:frames=3 --roles probe_share=0.1 --memory 1 --out o.npz",
    "label bare.extxyz --labeller calculator --set calculator=emt --out o.extxyz",
    "label good.extxyz --labeller lookup --set library=good.extxyz --out o.npz",
    f"train good.extxyz {TRAINING} --early-stopping 0.2 --energy-reference fit --out o",
    f"train good.extxyz good.npz {TRAINING} --start-from pot --energy-reference Cu=-3.5 --out o",
    "predict pot good.extxyz --out o.extxyz --stress",
    "observe errors good.extxyz --potential pot --arrays o.npz --role train",
    f"observe rdf good.extxyz --potential pot {SHORT} --reference good.extxyz",
    "observe equation_of_state POSCAR --potential pot",
    "observe equation_of_state POSCAR --wanted o.extxyz",
    "observe errors good.npz --potential acsf --json",
    "observe calibration good.extxyz --potential pot",
    "export pot --format ase --to o --test good.extxyz --json",
    "import n2p2 --format n2p2 --to o --units bohr,Ha --test good.extxyz",
    "convert good.extxyz good.npz --out o.extxyz --prefix REF_",
    "convert good.extxyz --out o.data --units Å,eV",
    "plugins --json",
)
SMALL_ONLY = {"steps", "frames", "members", "members_at_once"}
"""Settings of which a large value is a good one, and takes long."""
DEFAULTS = {"describe": "power_spectrum", "train": "hdnnp"}
ODD_WORDS_OF_A_LINE = (
    "", " ", ".", "..", "-", "--", "-1", "0", "1", "2", "1.5", "nan", "inf", "-inf", "1e400", "10" * 20, "x", "a=b",
    "=", "a=", "=1", "a.b=1", "Cu=x", "Cu=nan", "Cu=1,Cu=2", "Cu=1,", ",", "Å", "Å,eV", "eV,Å", "m,J", "folder",
    "folder/", "pot", "pot/potential.json", "pot/weights.npz", "good.extxyz", "good.npz", "empty.extxyz",
    "bare.extxyz", "missing.extxyz", "folder/o.extxyz", "missing/o.extxyz", "missing/o", "good.extxyz/o.extxyz",
    "noext", "o.EXTXYZ", "o.data", "o.xyz", ".npz", "@", "good.extxyz@0", "good.extxyz@:", "*", "~", "~/x.extxyz",
    "\udcff.extxyz", "é.npz", "a\tb.npz", "\x1b[31m", "A" * 300, "random", "sanity:", "random:frames=2,frames=3",
    "random:frames=-1", "random:frames=1e99", "random:frames=[", ":", "random:x", "disagreement:lower=nan",
    "disagreement:share=2", "farthest_point:frames=0", "duplicates:tolerance=-1", "random:{frames: 2}",
    "energy_window:upper=x", "cuda", "cpu", "fit", "isolated_atoms", "hdnnp", "mace", "gap", "train", "probe",
    "errors", "n2p2", "POSCAR", "job.json", "missing.json", "o.json",
)  # fmt: skip
ODD_YAML = (
    "", "~", "true", "-1", "0", "1", "1.5", ".nan", ".inf", "1e400", "1e30", "1e5", "x", "[]", "{}", "[1, 2]", "[x]",
    "[300, -5]", "{a: 1}", "'", "[", "{", "&a [*a]", "!!python/object:os.system x", "2001-01-01", "10 %", "5 GPa", "é",
    "\x1b[31m", "*a", "1_000", "0x10", "good.extxyz", "folder", "[[1, 1, 1]]", "[[0, 0, 0]]", "{name: x}",
    "{name: acsf, settings: {cutoff: -1}}", "cuda",
)  # fmt: skip


def known_settings() -> dict[str, list[str]]:
    """The settings of each plug-in that can be loaded here, by its name."""
    plugins = {name: find_plugin(kind, name) for kind in KINDS for name in registered(kind)}
    return {name: sorted(plugin.Settings.model_fields) for name, plugin in plugins.items() if plugin is not None}


@st.composite
def line_inputs(draw: Draw, known: Mapping[str, Sequence[str]]) -> Input:
    """A good line in which one to three words or options are others."""
    words = draw(st.sampled_from(LINES)).split()
    command = cli.commands[words[0]]
    options = [option for option in command.params if isinstance(option, click.Option)]
    for _ in range(draw(how_many)):
        how = draw(st.sampled_from(["word", "word", "set", "set", "set", "option", "option", "drop", "twice", "more"]))
        place = draw(st.integers(1, max(len(words) - 1, 1)))
        if how == "word" and place < len(words) and not words[place].startswith("--set"):
            words[place] = draw(st.sampled_from(ODD_WORDS_OF_A_LINE))
        elif how == "set":
            given_here = [word.split("=")[0] for word in words if "=" in word and ":" not in word]
            plugin = next((word for word in words[1:] if word in known), DEFAULTS.get(words[0], "random"))
            keys = given_here if given_here and draw(st.booleans()) else known[plugin]
            key = draw(st.sampled_from([key for key in keys if key not in SMALL_ONLY] or ["a"]))
            key += draw(st.sampled_from([""] * 9 + [".a", ".settings", "."]))
            words += ["--set", f"{key}={draw(st.sampled_from(ODD_YAML))}"]
        elif how == "option":
            option = draw(st.sampled_from(options))
            words.append(option.opts[-1])
            if not option.is_flag:
                words.append(draw(st.sampled_from(ODD_WORDS_OF_A_LINE)))
        elif how == "drop" and place < len(words):
            del words[place]
        elif how == "twice" and place < len(words):
            words.insert(place, words[place])
        elif how == "more":
            words.insert(place, draw(st.sampled_from(ODD_WORDS_OF_A_LINE)))
    return Input(words)
