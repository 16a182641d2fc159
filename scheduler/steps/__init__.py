"""The steps of a night, in the order of `facts`."""
