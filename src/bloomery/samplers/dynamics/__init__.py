"""What samplers share that move atoms in time: trajectories, ensembles, integrators, biases, and when to stop."""
