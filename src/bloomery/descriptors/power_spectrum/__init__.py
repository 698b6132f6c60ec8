"""The smooth power spectrum of neighbour densities."""
