"""The networks of all members and elements, in TorchScript."""

import torch

from bloomery.engines.hdnnp.evaluation import Evaluator
from bloomery.engines.hdnnp.model import SWITCH, hidden_layers


class Layer(torch.nn.Module):
    """One layer of all networks.

    Parameters
    ----------
    weight, bias
        ``(M, S, in, out)`` and ``(M, S, 1, out)``.
    activation
        One of `bloomery.engines.hdnnp.model.ACTIVATIONS`.
    """

    weight: torch.Tensor
    bias: torch.Tensor

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor, activation: str) -> None:
        super().__init__()
        # One element after the other, so that each one's part is contiguous.
        self.register_buffer("weight", weight.transpose(0, 1).contiguous())
        self.register_buffer("bias", bias.transpose(0, 1).contiguous())
        self.activation = activation

    def forward(self, inputs: torch.Tensor, species: int) -> torch.Tensor:
        """From ``(M, n, in)`` to ``(M, n, out)``."""
        x = torch.baddbmm(self.bias[species], inputs, self.weight[species])
        return activate(x, self.activation)


def activate(x: torch.Tensor, name: str) -> torch.Tensor:
    """Values of an activation function by name."""
    result = x
    if name == "silu":
        result = x * torch.sigmoid(x)
    elif name == "tanh":
        result = torch.tanh(x)
    elif name == "logistic":
        result = torch.sigmoid(x)
    elif name == "reverse_logistic":
        result = torch.sigmoid(-x)
    elif name == "softplus":
        result = torch.nn.functional.softplus(x)
    elif name == "relu":
        result = torch.relu(x)
    elif name == "gaussian":
        result = torch.exp(-0.5 * x * x)
    elif name == "cosine":
        result = torch.cos(x)
    elif name == "exponential":
        result = torch.exp(-x)
    elif name == "square":
        result = x * x
    return result


class Committee(torch.nn.Module):
    """Networks with all scales folded in: features go in, eV come out."""

    skip: torch.Tensor
    mean: torch.Tensor
    isolated: torch.Tensor
    magnitude: torch.Tensor

    def __init__(self, folded: Evaluator) -> None:
        super().__init__()
        parameters = {name: value.cpu() for name, value in folded.parameters.items()}
        self.members, self.n_species = parameters["weight_0"].shape[:2]
        names = [*folded.form.layers(hidden_layers(parameters)), "identity"]
        self.layers = torch.nn.ModuleList(
            [Layer(parameters[f"weight_{i}"], parameters[f"bias_{i}"], name) for i, name in enumerate(names)]
        )
        self.has_skip, self.switch, self.width = "skip" in parameters, folded.form.switch, SWITCH
        none = torch.zeros_like(parameters["weight_0"][..., :1])
        self.register_buffer("skip", parameters.get("skip", none).transpose(0, 1).contiguous())
        for name in ("mean", "isolated", "magnitude"):
            self.register_buffer(name, getattr(folded, name).cpu())

    def forward(self, features: torch.Tensor, species: torch.Tensor) -> torch.Tensor:
        """Atomic energies ``(a, M)`` in eV of atoms with features ``(a, F)`` and species ``(a,)``."""
        result = torch.zeros((features.shape[0], self.members), dtype=features.dtype, device=features.device)
        for one in range(self.n_species):
            rows = torch.nonzero(species == one).squeeze(1)
            if rows.numel() > 0:
                energies = self.energies(features.index_select(0, rows), one)
                result = result.index_copy(0, rows, energies)
        return result

    def energies(self, features: torch.Tensor, species: int) -> torch.Tensor:
        """Atomic energies ``(n, M)`` of atoms of one element."""
        inputs = (features - self.mean[species]).expand(self.members, features.shape[0], features.shape[1])
        x = inputs
        for layer in self.layers:
            x = layer(x, species)
        if self.has_skip:
            x = x + torch.bmm(inputs, self.skip[species])
        energies = x.squeeze(2).transpose(0, 1)
        if self.switch:
            relative = (features - self.isolated[species]) / self.magnitude[species]
            square = (relative * relative).mean(dim=1, keepdim=True)
            energies = energies * -torch.expm1(-square / self.width)
        return energies
