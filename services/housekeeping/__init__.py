"""The log's upkeep: what a scheduler has done every night, and an operator at once."""
