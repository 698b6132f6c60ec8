"""What workchains share that train a model several times and compare."""
