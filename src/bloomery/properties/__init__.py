"""Models of properties beyond the energy: dipoles, polarizabilities, charges, and other tensors of frames and atoms."""
