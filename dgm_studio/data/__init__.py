"""Real and exact data: sets in the box, plane toys with a known density, and the user's own files."""
