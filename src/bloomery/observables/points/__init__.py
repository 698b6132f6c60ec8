"""What observables share that are computed from single points, frame by frame."""
