"""Neighbours as tables of equal rows, in TorchScript."""

import torch


def neighbour_table(
    vectors: torch.Tensor, rows: torch.Tensor, n_rows: int, cutoff: float, least: int = 1
) -> torch.Tensor:
    """Lay out vectors ``(E, 3)`` of rows ``(E,)`` as ``(n_rows, K, 3)``, padded with neighbours on the cutoff."""
    counts = torch.bincount(rows, minlength=n_rows)
    width = max(int(counts.max()), least) if n_rows > 0 else least
    order = torch.argsort(rows)
    sorted_rows = rows.index_select(0, order)
    begins = torch.cumsum(counts, 0) - counts
    within = torch.arange(rows.shape[0], device=rows.device) - begins.index_select(0, sorted_rows)
    padded = torch.zeros((n_rows * width, 3), dtype=vectors.dtype, device=vectors.device)
    padded[:, 0] = cutoff
    padded = padded.index_copy(0, sorted_rows * width + within, vectors.index_select(0, order))
    return padded.reshape(n_rows, width, 3)
