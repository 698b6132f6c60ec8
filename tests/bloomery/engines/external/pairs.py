"""A program that fits: an energy that is linear in Gaussians of the distances between atoms.

``python pairs.py fit train.extxyz weights.json SEED EPOCHS`` or ``python pairs.py predict frames.extxyz out.extxyz``. It
counts energies in Ry and lengths in bohr, as no other program here does.
"""

import json
import sys

import ase.io
import numpy as np
from ase.neighborlist import neighbor_list

CUTOFF, WIDTH = 7.0, 1.0


def gaussians(distances, centres):
    """Values and slopes of the basis, smooth at the cutoff."""
    switch = (1 - (distances / CUTOFF) ** 2) ** 3
    slope = -6 * distances / CUTOFF**2 * (1 - (distances / CUTOFF) ** 2) ** 2
    shift = (distances[:, None] - centres) / WIDTH
    bell = np.exp(-0.5 * shift**2)
    return bell * switch[:, None], bell * (slope[:, None] - switch[:, None] * shift / WIDTH)


def features(atoms, centres):
    """Energy, forces and stress of each basis function of one frame."""
    i, _, distances, vectors = neighbor_list("ijdD", atoms, CUTOFF)
    values, slopes = gaussians(distances, centres)
    by_vector = slopes[:, None, :] * (vectors / distances[:, None])[:, :, None]
    forces = np.zeros((len(atoms), 3, len(centres)))
    np.add.at(forces, i, by_vector)
    volume = atoms.cell.volume if atoms.pbc.all() else np.inf
    stress = 0.5 * np.einsum("px,pyf->xyf", vectors, by_vector) / volume
    return 0.5 * values.sum(axis=0), forces, stress


def fit(data, weights, seed, epochs):
    centres = np.sort(np.random.default_rng(int(seed)).uniform(2.5, 6.5, 8))
    rows, targets = [], []
    for atoms in ase.io.read(data, ":"):
        energy, forces, _ = features(atoms, centres)
        rows += [energy[None], forces.reshape(-1, len(centres))]
        targets += [[atoms.info["target_energy"]], atoms.arrays["target_forces"].ravel()]
    matrix, target = np.concatenate(rows), np.concatenate(targets)
    for epoch in range(1, int(epochs) + 1):
        ridge = 10.0 ** (2 - 2 * epoch)
        solution = np.linalg.solve(matrix.T @ matrix + ridge * np.eye(len(centres)), matrix.T @ target)
        print(f"round {epoch} error {np.sqrt(((matrix @ solution - target) ** 2).mean()):.8f}", flush=True)
    with open(weights, "w") as file:
        json.dump({"centres": centres.tolist(), "weights": solution.tolist()}, file)


def predict(frames, out):
    with open("weights.json") as file:
        model = json.load(file)
    centres, weights = np.array(model["centres"]), np.array(model["weights"])
    found = ase.io.read(frames, ":")
    for atoms in found:
        energy, forces, stress = (part @ weights for part in features(atoms, centres))
        atoms.info |= {"my_energy": float(energy), "my_stress": stress}
        atoms.arrays["my_forces"] = forces
    ase.io.write(out, found, format="extxyz")


{"fit": fit, "predict": predict}[sys.argv[1]](*sys.argv[2:])
