"""Between MRML nodes and the engine's arrays; the same in Slicer and on slicer-core, with no application needed."""
