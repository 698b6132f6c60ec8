"""The programs that run on the compute machine, one module per verb."""
