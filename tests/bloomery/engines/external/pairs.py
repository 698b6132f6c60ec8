"""A program that fits: an energy that is linear in Gaussians of the distances between atoms.

``python pairs.py fit train.extxyz weights.json SEED EPOCHS``, or ``python pairs.py predict frames.extxyz out.extxyz``.
It counts energies in Ry and lengths in bohr, as no other program here does, and needs numpy alone.
"""

import json
import re
import sys
from itertools import product
from pathlib import Path

import numpy as np

CUTOFF, WIDTH = 7.0, 1.0


def read(path):
    """Frames as cell, species, columns by name, and the comment line."""
    lines = Path(path).read_text(encoding="utf-8").split("\n")
    while lines and lines[0].strip():
        count, comment = int(lines[0]), lines[1]
        rows = [line.split() for line in lines[2 : 2 + count]]
        lines = lines[2 + count :]
        found = re.search(r'Lattice="([^"]*)"', comment)
        cell = np.array(found[1].split(), dtype=float).reshape(3, 3) if found and "T" in comment else None
        numbers = np.array([row[1:] for row in rows], dtype=float)
        yield cell, [row[0] for row in rows], numbers[:, :3], numbers[:, 3:], comment


def gaussians(distances, centres):
    """Values and slopes of the basis, smooth at the cutoff."""
    switch = (1 - (distances / CUTOFF) ** 2) ** 3
    slope = -6 * distances / CUTOFF**2 * (1 - (distances / CUTOFF) ** 2) ** 2
    shift = (distances[:, None] - centres) / WIDTH
    bell = np.exp(-0.5 * shift**2)
    return bell * switch[:, None], bell * (slope[:, None] - switch[:, None] * shift / WIDTH)


def features(cell, positions, centres):
    """Energy, forces and stress of each basis function of one frame."""
    copies, volume = np.zeros((1, 3)), np.inf
    if cell is not None:
        heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
        reach = [int(np.ceil(CUTOFF / height)) + 1 for height in heights]
        copies = np.array(list(product(*[range(-n, n + 1) for n in reach]))) @ cell
        volume = abs(np.linalg.det(cell))
        positions = positions - np.floor(positions @ np.linalg.inv(cell)) @ cell
    vectors = positions[None, None] + copies[None, :, None] - positions[:, None, None]
    distances = np.linalg.norm(vectors, axis=-1)
    near = (distances > 1e-8) & (distances < CUTOFF)
    atoms, vectors, distances = np.nonzero(near)[0], vectors[near], distances[near]
    values, slopes = gaussians(distances, centres)
    by_vector = slopes[:, None, :] * (vectors / distances[:, None])[:, :, None]
    forces = np.zeros((len(positions), 3, len(centres)))
    np.add.at(forces, atoms, by_vector)
    stress = 0.5 * np.einsum("px,pyf->xyf", vectors, by_vector) / volume
    return 0.5 * values.sum(axis=0), forces, stress


def fit(data, weights, seed, epochs):
    centres = np.sort(np.random.default_rng(int(seed)).uniform(2.5, 6.5, 8))
    rows, targets = [], []
    for cell, _, positions, labels, comment in read(data):
        energy, forces, _ = features(cell, positions, centres)
        rows += [energy[None], forces.reshape(-1, len(centres))]
        targets += [[float(re.search(r"target_energy=(\S+)", comment)[1])], labels[:, :3].ravel()]
    matrix, target = np.concatenate(rows), np.concatenate(targets)
    for epoch in range(1, int(epochs) + 1):
        ridge = 10.0 ** (2 - 2 * epoch)
        solution = np.linalg.solve(matrix.T @ matrix + ridge * np.eye(len(centres)), matrix.T @ target)
        print(f"round {epoch} error {np.sqrt(((matrix @ solution - target) ** 2).mean()):.8f}", flush=True)
    Path(weights).write_text(json.dumps({"centres": centres.tolist(), "weights": solution.tolist()}), encoding="utf-8")


def predict(frames, out):
    model = json.loads(Path("weights.json").read_text(encoding="utf-8"))
    centres, weights = np.array(model["centres"]), np.array(model["weights"])
    lines = []
    for cell, species, positions, _, comment in read(frames):
        energy, forces, stress = (part @ weights for part in features(cell, positions, centres))
        more = f' my_energy={float(energy)!r} my_stress="{" ".join(map(repr, stress.ravel().tolist()))}"'
        kind = "Properties=species:S:1:pos:R:3:my_forces:R:3"
        lines += [str(len(species)), comment.replace("Properties=species:S:1:pos:R:3", kind) + more]
        numbers = np.hstack([positions, forces]).tolist()
        lines += [f"{one} {' '.join(map(repr, row))}" for one, row in zip(species, numbers, strict=True)]
    Path(out).write_text("\n".join([*lines, ""]), encoding="utf-8")


{"fit": fit, "predict": predict}[sys.argv[1]](*sys.argv[2:])
