"""The calcfunctions: whatever decides, or makes data without a job, one per file."""
