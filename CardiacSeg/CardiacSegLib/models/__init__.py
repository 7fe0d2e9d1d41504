"""The models a person has: what is known about them, and bringing them in, passing them on, removing them."""
