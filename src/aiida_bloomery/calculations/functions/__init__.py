"""The calcfunctions: whatever decides, or makes data without a job, by subject."""
