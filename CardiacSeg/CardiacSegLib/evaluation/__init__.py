"""How well labels agree with a reference."""
