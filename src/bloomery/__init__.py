"""The science of aiida-bloomery: configurations, potentials, sampling, selection and validation, without AiiDA."""

__version__ = "0.1.0"
