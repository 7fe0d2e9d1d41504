"""CardiacSegLib: the engine of CardiacSeg, and the thin layers that show it in 3D Slicer.

Importing this package loads nothing heavy: torch and MONAI are imported only by the functions that compute.
"""

__version__ = "0.1.0"
