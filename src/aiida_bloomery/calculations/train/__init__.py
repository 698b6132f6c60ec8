"""Training jobs: one subclass per engine, so that each shows with a name of its own."""
