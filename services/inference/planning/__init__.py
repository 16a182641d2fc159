"""What it costs to serve a version, measured before it goes live."""
