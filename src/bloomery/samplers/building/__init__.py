"""What samplers share that build frames without dynamics."""
