"""Work in a process of its own: the events it writes, the worker that does it, the client that asks for it."""
