"""Features of frames and of single atoms, as selectors use them."""
