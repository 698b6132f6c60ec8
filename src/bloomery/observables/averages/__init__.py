"""What observables share that are averages over a trajectory."""
