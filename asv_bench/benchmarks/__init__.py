"""What asv measures; CONTRIBUTING.md says how to add to it."""
