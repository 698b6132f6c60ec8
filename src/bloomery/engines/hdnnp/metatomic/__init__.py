"""A potential as a metatomic model, which LAMMPS, i-PI, torch-sim, ASE and others run without this package.

metatomic: https://docs.metatensor.org/metatomic. Models are TorchScript, whose language is a part of Python. Everything
in these modules but `export` is therefore written once more and plainer than where training and sampling use it: values
only, for torch to differentiate. A test holds both against each other.
"""

from bloomery.engines.hdnnp.metatomic.export import MODEL_FILE, model_calculator, what_is_in_the_way, write_model

__all__ = ["MODEL_FILE", "model_calculator", "what_is_in_the_way", "write_model"]
