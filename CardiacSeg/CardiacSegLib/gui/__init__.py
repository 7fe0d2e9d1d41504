"""The parts of the panel; they need the Slicer application."""
