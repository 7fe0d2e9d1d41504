"""A beating heart made by code: a short-axis cine with known volumes, for demonstrations and tests.

Everything is drawn in the anatomy's own frame, in mm: x to the right of the picture, y down, z from base to apex,
with the origin on the left ventricle's axis at the end-diastolic base. Seen so, the right ventricle lies on the left
of the picture, the lung above, the liver and the stomach below, as in a clinical short-axis view.

From ``options`` come the ``ventricles``, analytic shapes that follow the ``heartbeat`` and have the wanted volumes,
and the ``grid`` of pixels. On it the ``body`` is drawn, over the body the ``heart``; a ``scanner`` blurs and adds
noise, and an ``orientation`` lays the arrays out in the patient. ``cine`` puts these steps together.
"""

from __future__ import annotations

from CardiacSegLib.phantom.cine import Phantom, make_phantom
from CardiacSegLib.phantom.options import PhantomOptions
from CardiacSegLib.phantom.orientation import ORIENTATIONS

__all__ = ["ORIENTATIONS", "Phantom", "PhantomOptions", "make_phantom"]
