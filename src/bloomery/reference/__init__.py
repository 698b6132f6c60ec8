"""The reference method as the science sees it: ASE calculators, what they say of a frame, and teachers."""
