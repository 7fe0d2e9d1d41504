"""From labeled cases to a bundle."""
