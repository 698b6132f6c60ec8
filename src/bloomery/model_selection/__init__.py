"""Which model: folds of a data set, cross-validation, and the search for better settings."""
