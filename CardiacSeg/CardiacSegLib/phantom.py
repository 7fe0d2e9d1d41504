"""A beating heart made by code: a short-axis cine with known volumes, for demonstrations and tests.

Everything is drawn in the anatomy's own frame, in mm: x to the right of the picture, y down, z from base to apex,
with the origin on the left ventricle's axis at the end-diastolic base. Seen so, the right ventricle lies on the left
of the picture, the lung above, the liver and the stomach below, as in a clinical short-axis view.

The ventricles are star-shaped about the left ventricle's axis, so their volumes are integrals of radii and need no
voxels. The surroundings only have to look right; they carry no label.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from CardiacSegLib.anatomy import CANONICAL
from CardiacSegLib.errors import CardiacSegError

#: Density of myocardium in g/mL, the usual value in cardiac MR (Schulz-Menger et al., J Cardiovasc Magn Reson 2020).
_DENSITY = 1.05

#: Share of the cycle at which systole ends.
_SYSTOLE = 0.37

# Signals of a balanced steady-state sequence, relative to blood. Fat is out of phase with water at this echo time,
# hence negative: the magnitude taken at the end draws the dark rim between fat and water that real images have.
_BLOOD = 1.0
_RV_BLOOD = 0.88
_MUSCLE = 0.24
_MYOCARDIUM = 0.36
_FAT = -0.85
_LUNG = 0.035
_LIVER = 0.36

# The shape of both ventricles. A radius falls from base to apex as sqrt(1 - s^_TAPER); its square integrates to
# _FILL times the cylinder.
_TAPER = 2.5
_FILL = _TAPER / (_TAPER + 1.0)
_RV_TAPER = 1.4
_RV_ANGLE = math.pi - 0.15  # from the x axis, y down: to the left of the picture and a little below
_RV_HALF_WIDTHS = (1.5, 1.12)  # radians: towards the outflow tract, towards the diaphragm
_RV_BULGES = (1.7, 2.6)  # how blunt the crescent is on either side
_AXIS_DRIFT = (5.0, 3.0)  # mm in x and y by which the long axis leans from base to apex

_PAPILLARY_MUSCLES = (
    (1.15, 0.78, 4.8),
    (0.85, 0.84, 3.6),
    (-0.55, 0.80, 4.0),
    (-0.85, 0.82, 3.4),
)  # angle, share of the radius, mm
_BLOOD_LEVEL = 300.0  # the image's number for the signal of blood
_SUBSLICES = 3  # planes averaged in each slice
_POINT_SPREAD = 0.75  # mm, standard deviation
_LEAN = -0.12  # radians by which the body leans in the picture


def _columns(*columns: Sequence[float]) -> np.ndarray:
    return np.array(columns, float).T


def _clinical_directions() -> np.ndarray:
    """Columns: x, y and z of the anatomy in RAS, for a heart that points left, forward and down."""
    to_apex = np.array([-0.62, 0.62, -0.48])
    to_apex /= np.linalg.norm(to_apex)
    down = np.array([0.0, 0.0, -1.0])
    down -= to_apex * (down @ to_apex)
    down /= np.linalg.norm(down)
    # Seen from the apex, as is the custom: picture right x picture down points away from the viewer, to the base.
    return _columns(np.cross(to_apex, down), down, to_apex)


@dataclass(frozen=True)
class _Orientation:
    """How the array lies in the patient: RAS directions of x, y, z; then which of them each array axis runs along."""

    directions: np.ndarray
    order: tuple[int, int, int] = (0, 1, 2)
    reversed_axes: tuple[int, ...] = ()


#: Names for ``PhantomOptions.orientation``.
#:
#: * ``short-axis``: a clinical oblique short axis as Slicer loads it from DICOM: right-handed, apex first.
#: * ``base-first``: the same heart with its slices in the other order (left-handed).
#: * ``flipped``: the same heart, rows and columns reversed.
#: * ``transposed``: the same heart, rows and columns exchanged.
#: * ``slices-first``: the same heart, slices along the first array axis.
#: * ``ACDC``: the array as ACDC stores it, under the header as Slicer reads it, diag(-x, -y, z): base first. That
#:   header is a fiction, and the heart in it a mirror image.
_ORIENTATIONS: Mapping[str, _Orientation] = {
    "short-axis": _Orientation(_clinical_directions(), reversed_axes=(2,)),
    "base-first": _Orientation(_clinical_directions()),
    "flipped": _Orientation(_clinical_directions(), reversed_axes=(0, 1, 2)),
    "transposed": _Orientation(_clinical_directions(), order=(1, 0, 2)),
    "slices-first": _Orientation(_clinical_directions(), order=(2, 0, 1), reversed_axes=(1,)),
    "ACDC": _Orientation(np.diag([-1.0, -1.0, 1.0])),
}
ORIENTATIONS: tuple[str, ...] = tuple(_ORIENTATIONS)


@dataclass(frozen=True)
class PhantomOptions:
    """What to draw.

    Attributes:
        frames: images in one heartbeat; the first is end-diastole. One frame gives end-diastole alone.
        slices: short-axis slices. By default one at the base holds atria and one lies beyond the apex. A stack
            shorter than the heart begins at the base and leaves the apex out, from the labels too.
        spacing: mm between pixels along a row, along a column, and between slices (no gap).
        size: pixels along a row and along a column.
        orientation: one of ``ORIENTATIONS``, or a 3 x 3 matrix of orthonormal columns: the RAS directions of the
            first, second and third array axis (picture right, picture down, base to apex).
        lv_edv_ml, lv_esv_ml: left ventricular volumes at end-diastole and end-systole, mL.
        rv_edv_ml, rv_esv_ml: right ventricular volumes, mL.
        lv_mass_g: mass of the left ventricular myocardium, the same in every frame.
        base_descent_mm: how far the base moves towards the apex in systole. None takes the whole number of slices
            nearest to 11 mm, so that at ED and ES the base falls between two slices and the labels have the true
            volumes. In between it crosses slices, and labels of thick slices are off by up to half a slice's area,
            as they are in patients.
        position_jitter_mm: the heart's distance from the middle of the picture, standard deviation.
        slice_shift_mm: in-plane shift of each slice from its own breath-hold, standard deviation.
        diaphragm_motion_mm: how far the diaphragm moves within a heartbeat.
        noise_level: standard deviation of the noise in each channel, relative to the signal of blood.
        bias_strength: how uneven the coil's sensitivity is; 0 is even.
        contrast: 1 is the usual difference between blood and myocardium, 0 is none.
        seed: of everything that is drawn by chance.
    """

    frames: int = 20
    slices: int = 10
    spacing: tuple[float, float, float] = (1.5, 1.5, 10.0)
    size: tuple[int, int] = (192, 192)
    orientation: str | Sequence[Sequence[float]] = "short-axis"
    lv_edv_ml: float = 135.0
    lv_esv_ml: float = 54.0
    rv_edv_ml: float = 150.0
    rv_esv_ml: float = 68.0
    lv_mass_g: float = 105.0
    base_descent_mm: float | None = None
    position_jitter_mm: float = 4.0
    slice_shift_mm: float = 1.0
    diaphragm_motion_mm: float = 3.0
    noise_level: float = 0.025
    bias_strength: float = 0.35
    contrast: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise a CardiacSegError that names the field where the options cannot be drawn."""
        self._check_grid()
        self._check_heart()
        for name in ("position_jitter_mm", "slice_shift_mm", "diaphragm_motion_mm", "noise_level", "bias_strength"):
            _require(_finite(getattr(self, name)) and getattr(self, name) >= 0, f"{name} must be 0 or more")
        _require(_finite(self.contrast) and 0 <= self.contrast <= 1.5, "contrast must be between 0 and 1.5")
        _require(isinstance(self.seed, (int, np.integer)) and self.seed >= 0, "seed must be a whole number, 0 or more")
        _orientation(self.orientation)

    def _check_grid(self) -> None:
        for name, counts in (("frames", [self.frames]), ("slices", [self.slices]), ("size", list(self.size))):
            whole = all(isinstance(count, (int, np.integer)) and count >= 1 for count in counts)
            _require(whole, f"{name} must be whole numbers of 1 or more, not {getattr(self, name)}")
        _require(len(self.size) == 2, f"size must be two numbers of pixels, not {self.size}")
        positive = len(self.spacing) == 3 and all(_finite(step) and step > 0 for step in self.spacing)
        _require(positive, f"spacing must be three positive numbers of mm, not {self.spacing}")

    def _check_heart(self) -> None:
        for chamber in ("lv", "rv"):
            edv, esv = getattr(self, f"{chamber}_edv_ml"), getattr(self, f"{chamber}_esv_ml")
            possible = _finite(edv) and _finite(esv) and 0 < esv <= edv
            _require(possible, f"{chamber}_esv_ml must be above 0 and at most {chamber}_edv_ml, not {esv} and {edv}")
        _require(_finite(self.lv_mass_g) and self.lv_mass_g > 0, f"lv_mass_g must be above 0, not {self.lv_mass_g}")
        descent = self.descent_mm
        length = _epicardial_length(self)
        _require(
            _finite(descent) and 0 <= descent < 0.5 * length,
            f"base_descent_mm must be between 0 and half the heart's length of {length:.0f} mm, not {descent}",
        )

    @property
    def descent_mm(self) -> float:
        """How far the base moves in systole, mm."""
        if self.base_descent_mm is not None:
            return self.base_descent_mm
        usual = 11.0 * _epicardial_length(self) / 83.0
        whole_slices = round(usual / self.spacing[2])
        return whole_slices * self.spacing[2] if whole_slices else usual


@dataclass(frozen=True)
class Phantom:
    """A cine and the truth about it.

    Attributes:
        image: int16 (I, J, K, T), arbitrary units, blood at about 300.
        labels: uint8 (I, J, K, T), canonical: 1 LV, 2 MYO, 3 RV.
        affine: 4 x 4, array index to RAS mm.
        ed_frame, es_frame: frames of the largest and the smallest left ventricle.
        volumes_ml: for LV, MYO and RV the volume of the drawn shape in each frame (T,), mL: integrated from its
            radii, so what a perfect measurement would find whatever the voxels.
        options: what it was made from.
    """

    image: np.ndarray
    labels: np.ndarray
    affine: np.ndarray
    ed_frame: int
    es_frame: int
    volumes_ml: Mapping[str, np.ndarray]
    options: PhantomOptions


def make_phantom(options: PhantomOptions | None = None) -> Phantom:
    """Draw a beating heart.

    Args:
        options: what to draw; the defaults are a healthy adult with 20 frames.

    Returns:
        The cine with its labels, geometry and true volumes. The same options give the same phantom.

    Raises:
        CardiacSegError: from ``PhantomOptions``, where they cannot be drawn.
    """
    options = options or PhantomOptions()
    rng = np.random.default_rng(options.seed)
    heart = _Heart.from_options(options)
    grid = _Grid.from_options(options, heart, rng)
    signal = _draw_surroundings(options, grid, rng)
    labels = np.zeros(signal.shape, np.uint8)
    _draw_heart(options, grid, heart, signal, labels, rng)
    image = _scan(options, grid, signal, rng)
    image, labels, affine = _orient(options, image, labels)
    es_frame = _es_frame(options.frames)
    return Phantom(image, labels, affine, 0, es_frame, heart.volumes_ml(), options)


# ---------------------------------------------------------------------------------------------------- small helpers


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise CardiacSegError(f"phantom: {message}")


def _finite(value: float | None) -> bool:
    return isinstance(value, (int, float, np.number)) and math.isfinite(value)


def _orientation(orientation: str | Sequence[Sequence[float]]) -> _Orientation:
    if isinstance(orientation, str):
        names = ", ".join(ORIENTATIONS)
        _require(orientation in _ORIENTATIONS, f"orientation {orientation!r} is not known; choose one of {names}")
        return _ORIENTATIONS[orientation]
    try:
        directions = np.asarray(orientation, float)
    except (TypeError, ValueError):
        directions = np.zeros(0)
    orthonormal = directions.shape == (3, 3) and np.allclose(directions.T @ directions, np.eye(3), atol=1e-5)
    _require(orthonormal, "orientation must be a name or a 3 x 3 matrix with orthonormal columns")
    return _Orientation(directions)


def _es_frame(frames: int) -> int:
    return int(_SYSTOLE * frames + 0.5) % frames


def _contraction(frames: int) -> np.ndarray:
    """0 at end-diastole, 1 at end-systole, (T,): ejection, rapid filling, diastasis, atrial contraction."""
    es_frame = _es_frame(frames)
    if es_frame == 0:
        return np.zeros(frames)
    phase = np.arange(frames)
    ejected = 0.5 - 0.5 * np.cos(np.pi * np.minimum(phase / es_frame, 1.0))
    diastole = np.clip((phase - es_frame) / (frames - es_frame), 0.0, 1.0)
    filled = 0.75 * _smooth_step(diastole / 0.5) + 0.25 * _smooth_step((diastole - 0.7) / 0.3)
    return ejected - filled


def _smooth_step(value: np.ndarray) -> np.ndarray:
    value = np.clip(value, 0.0, 1.0)
    return value * value * (3.0 - 2.0 * value)


def _epicardial_length(options: PhantomOptions) -> float:
    """Base to epicardial apex at end-diastole, mm: 83 in a heart of usual size, and in proportion."""
    volume = options.lv_edv_ml + options.lv_mass_g / _DENSITY
    return 83.0 * (volume / 235.0) ** (1.0 / 3.0)


# --------------------------------------------------------------------------------------------------------- the heart


def _outline(angle: np.ndarray) -> np.ndarray:
    """Squared radius of the ventricles' outline against a circle's, by polar angle. Its mean is 1: areas are kept."""
    return 1.0 + 0.05 * np.cos(2.0 * (angle - 1.1)) + 0.035 * np.cos(3.0 * (angle - 0.4)) + 0.015 * np.cos(5.0 * angle)


def _crescent(angle: np.ndarray) -> np.ndarray:
    """Depth of the right ventricle beyond the septum by polar angle, 1 at its deepest and 0 off the crescent."""
    offset = np.mod(angle - _RV_ANGLE + np.pi, 2.0 * np.pi) - np.pi
    sides = [np.abs(offset / width) ** bulge for width, bulge in zip(_RV_HALF_WIDTHS, _RV_BULGES)]
    return np.maximum(1.0 - np.where(offset > 0, *sides), 0.0)


def _crescent_moments() -> tuple[float, float]:
    """Integrals of the crescent and of its square over the angle, weighted with the outline."""
    angle = (np.arange(20000) + 0.5) * (2.0 * np.pi / 20000)
    crescent, outline = _crescent(angle), _outline(angle)
    step = 2.0 * np.pi / 20000
    return float((crescent * outline).sum() * step), float((crescent**2 * outline).sum() * step)


@dataclass(frozen=True)
class _Heart:
    """The ventricles in every frame; each array is (T,), in mm.

    At height z the endocardium is a closed line of mean radius ``endo(z)``, the epicardium one of ``epi(z)``, and the
    right ventricle reaches from the epicardium ``rv_depth(z)`` times the crescent outwards.
    """

    base: np.ndarray
    endo_length: np.ndarray
    endo_radius: np.ndarray
    epi_length: np.ndarray
    epi_radius: np.ndarray
    rv_length: np.ndarray
    rv_reach: np.ndarray

    @classmethod
    def from_options(cls, options: PhantomOptions) -> _Heart:
        """Solve for the radii that give the wanted volumes, with the apex still and the myocardium's volume kept."""
        contraction = _contraction(options.frames)
        pool = 1000.0 * (options.lv_edv_ml - (options.lv_edv_ml - options.lv_esv_ml) * contraction)
        rv_pool = 1000.0 * (options.rv_edv_ml - (options.rv_edv_ml - options.rv_esv_ml) * contraction)
        base = options.descent_mm * contraction
        epi_length = _epicardial_length(options) - base
        epi_radius = np.sqrt((pool + 1000.0 * options.lv_mass_g / _DENSITY) / (np.pi * _FILL * epi_length))
        endo_length, endo_radius = cls._endocardium(pool, epi_length, epi_radius)
        rv_length = 0.86 * epi_length
        rv_reach = cls._rv_reach(rv_pool, epi_length, epi_radius, rv_length)
        return cls(base, endo_length, endo_radius, epi_length, epi_radius, rv_length, rv_reach)

    @staticmethod
    def _endocardium(pool: np.ndarray, epi_length: np.ndarray, epi_radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pool that leaves at the apex 0.7 times the wall it leaves at the side: a fixed point, found fast."""
        length = 0.93 * epi_length
        for _ in range(60):
            radius = np.sqrt(pool / (np.pi * _FILL * length))
            length = 0.5 * length + 0.5 * (epi_length - 0.7 * (epi_radius - radius))
        return length, np.sqrt(pool / (np.pi * _FILL * length))

    @staticmethod
    def _rv_reach(
        rv_pool: np.ndarray, epi_length: np.ndarray, epi_radius: np.ndarray, rv_length: np.ndarray
    ) -> np.ndarray:
        """The depth at the base that gives the wanted volume: the positive root of a quadratic."""
        linear, quadratic = _rv_coefficients(epi_length, epi_radius, rv_length)
        return (-linear + np.sqrt(linear**2 + 4.0 * quadratic * rv_pool)) / (2.0 * quadratic)

    def endo(self, z: np.ndarray) -> np.ndarray:
        """Mean endocardial radius, (..., T) for z (..., 1); 0 beyond the apex and above the base."""
        return self.endo_radius * _tapered((z - self.base) / self.endo_length)

    def epi(self, z: np.ndarray) -> np.ndarray:
        """Mean epicardial radius, (..., T) for z (..., 1); 0 beyond the apex and above the base."""
        return self.epi_radius * _tapered((z - self.base) / self.epi_length)

    def rv_depth(self, z: np.ndarray) -> np.ndarray:
        """Depth of the right ventricle at its deepest, (..., T) for z (..., 1)."""
        height = (z - self.base) / self.rv_length
        return np.where(height >= 0, self.rv_reach * _rv_tapered(height), 0.0)

    def volumes_ml(self) -> dict[str, np.ndarray]:
        """Volumes of the shapes, each (T,), mL: of revolution for LV and MYO, by quadrature for RV."""
        pool = np.pi * _FILL * self.endo_radius**2 * self.endo_length / 1000.0
        whole = np.pi * _FILL * self.epi_radius**2 * self.epi_length / 1000.0
        linear, quadratic = _rv_coefficients(self.epi_length, self.epi_radius, self.rv_length)
        rv_pool = (linear * self.rv_reach + quadratic * self.rv_reach**2) / 1000.0
        return {"LV": pool, "MYO": whole - pool, "RV": rv_pool}


def _tapered(height: np.ndarray) -> np.ndarray:
    """Radius against that at the base, by height from base (0) to apex (1)."""
    inside = (height >= 0) & (height <= 1)
    return np.sqrt(np.where(inside, 1.0 - np.clip(height, 0.0, 1.0) ** _TAPER, 0.0))


def _rv_tapered(height: np.ndarray) -> np.ndarray:
    return 1.0 - np.clip(height, 0.0, 1.0) ** _RV_TAPER


def _rv_coefficients(
    epi_length: np.ndarray, epi_radius: np.ndarray, rv_length: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The right ventricle's volume in mm3 is linear * reach + quadratic * reach**2, each (T,).

    At one height its area is the integral over the angle of ((epi + depth * crescent)^2 - epi^2) / 2.
    """
    first, second = _crescent_moments()
    height = (np.arange(4000)[:, None] + 0.5) / 4000 * rv_length
    depth = _rv_tapered(height / rv_length)
    epi = epi_radius * _tapered(height / epi_length)
    return first * (epi * depth).mean(0) * rv_length, 0.5 * second * (depth**2).mean(0) * rv_length


# ---------------------------------------------------------------------------------------------------------- the grid


@dataclass(frozen=True)
class _Grid:
    """Where the pixels are in the anatomy: x (K, I), y (K, J) and z (K,), all in mm, base first."""

    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    spacing: tuple[float, float, float]

    @classmethod
    def from_options(cls, options: PhantomOptions, heart: _Heart, rng: np.random.Generator) -> _Grid:
        middle = rng.normal((8.0, 8.0), options.position_jitter_mm)
        shift = rng.normal(0.0, options.slice_shift_mm, (2, options.slices))
        x, y = (
            (np.arange(count) - (count - 1) / 2) * step + middle[axis] - shift[axis][:, None]
            for axis, (count, step) in enumerate(zip(options.size, options.spacing))
        )
        thickness = options.spacing[2]
        spare = (options.slices * thickness - heart.epi_length[0]) / thickness
        above = max(round(0.6 * spare), 0)
        z = (np.arange(options.slices) + 0.5 - above) * thickness
        return cls(x.astype(np.float32), y.astype(np.float32), z, options.spacing)

    @property
    def pixel(self) -> float:
        """Width of an edge, mm."""
        return float(math.sqrt(self.spacing[0] * self.spacing[1]))

    def window(self, k: int, left: float, right: float, up: float, down: float) -> tuple[slice, slice]:
        """Pixels of slice ``k`` within a rectangle given in mm."""
        columns = np.searchsorted(self.x[k], (left, right))
        rows = np.searchsorted(self.y[k], (up, down))
        return slice(*columns), slice(*rows)


# --------------------------------------------------------------------------------------------------- the surroundings


def _cover(depth: np.ndarray, pixel: float) -> np.ndarray:
    """Share of a pixel inside a shape, from the depth of its middle below the edge in mm."""
    return np.clip(depth / pixel + 0.5, 0.0, 1.0)


def _paint(signal: np.ndarray, cover: np.ndarray, value: np.ndarray | float) -> None:
    """Lay a tissue over the signal, in place."""
    signal += cover * (value - signal)


def _ellipse(
    x: np.ndarray, y: np.ndarray, center: tuple[float, float], radii: tuple[float, float], turn: float = 0.0
) -> np.ndarray:
    """Depth below an ellipse's edge, mm, exact to first order at the edge. ``turn`` is in radians."""
    cos, sin = math.cos(turn), math.sin(turn)
    u = ((x - center[0]) * cos + (y - center[1]) * sin) / radii[0]
    v = ((y - center[1]) * cos - (x - center[0]) * sin) / radii[1]
    level = np.sqrt(u * u + v * v) + 1e-6
    slope = np.sqrt((u / radii[0]) ** 2 + (v / radii[1]) ** 2) / level + 1e-6
    return (1.0 - level) / slope


def _smooth_noise(rng: np.random.Generator, grid: _Grid, length: float) -> np.ndarray:
    """Float32 (K, I, J) noise of unit deviation that is alike over ``length`` mm."""
    shape = (len(grid.z), grid.x.shape[1], grid.y.shape[1])
    widths = [length / grid.spacing[axis] for axis in (2, 0, 1)]
    # Noise that is alike over many pixels is drawn on a coarse grid: as smooth and much cheaper.
    coarse = [max(int(count / max(width, 1.0)) + 4, 4) for count, width in zip(shape, widths)]
    field = rng.standard_normal(coarse, dtype=np.float32)
    for axis, (count, width) in enumerate(zip(shape, widths)):
        position = np.arange(count) / max(width, 1.0) + 1.0
        lower = position.astype(int)
        blend = _smooth_step(position - lower).astype(np.float32)
        blend = blend.reshape([-1 if a == axis else 1 for a in range(3)])
        field = field.take(lower, axis) * (1 - blend) + field.take(lower + 1, axis) * blend
    return field / field.std()


def _draw_surroundings(options: PhantomOptions, grid: _Grid, rng: np.random.Generator) -> np.ndarray:
    """Signed signal of everything but the heart, float32 (K, T, I, J)."""
    wobble = 2.5 * np.stack([_smooth_noise(rng, grid, 30.0) for _ in range(2)])
    texture = 0.6 * _smooth_noise(rng, grid, 18.0) + 0.6 * _smooth_noise(rng, grid, 5.0)
    vessels = _lung_vessels(rng, grid)
    motion = options.diaphragm_motion_mm * _contraction(options.frames)
    signal = np.empty((options.slices, options.frames, *options.size), np.float32)
    for k, z in enumerate(grid.z):
        x = grid.x[k][:, None] + wobble[0, k]
        y = grid.y[k][None, :] + wobble[1, k]
        body = _draw_body(x, y, float(z), texture[k], vessels[k], grid.pixel)
        signal[k] = _move_diaphragm(body, grid.y[k], motion, grid.spacing[1])
    return signal


def _lung_vessels(rng: np.random.Generator, grid: _Grid) -> np.ndarray:
    """Float32 (K, I, J) signal of vessels cut across, denser and wider towards the hilum."""
    vessels = np.zeros((len(grid.z), grid.x.shape[1], grid.y.shape[1]), np.float32)
    area = vessels.shape[1] * vessels.shape[2] * grid.spacing[0] * grid.spacing[1]
    for radius, per_square_cm, brightness in ((0.8, 0.30, 0.25), (1.4, 0.10, 0.5), (2.4, 0.015, 0.8)):
        dots = np.zeros_like(vessels)
        count = rng.poisson(area / 100.0 * per_square_cm, len(grid.z))
        for k, number in enumerate(count):
            i, j = rng.integers(0, dots.shape[1], number), rng.integers(0, dots.shape[2], number)
            dots[k, i, j] = rng.uniform(0.4, 1.0, number)
        widths = (0.0, radius / grid.spacing[0], radius / grid.spacing[1])
        height = 2.0 * np.pi * max(widths[1], 0.4) * max(widths[2], 0.4)
        vessels += brightness * height * ndimage.gaussian_filter(dots, widths, truncate=3.0)
    return vessels


def _draw_body(
    x: np.ndarray, y: np.ndarray, z: float, texture: np.ndarray, vessels: np.ndarray, pixel: float
) -> np.ndarray:
    """Signed signal of one slice without the heart, float32 (I, J)."""
    signal = np.zeros(np.broadcast_shapes(x.shape, y.shape), np.float32)
    apical = min(max(z / 85.0, -0.2), 1.2)
    _draw_chest(signal, x, y, apical, texture, vessels, pixel)
    _draw_abdomen(signal, x, y, apical, texture, pixel)
    return signal


def _draw_chest(
    signal: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    apical: float,
    texture: np.ndarray,
    vessels: np.ndarray,
    pixel: float,
) -> None:
    """Skin, fat, muscle with ribs, and the lung."""
    skin = _ellipse(x, y, (28.0, 28.0), (142.0, 205.0), _LEAN)
    cavity = _thorax(x, y, apical)
    around = np.arctan2((y - 32.0) / 150.0, (x - 24.0) / 104.0)
    fat = 12.0 + 6.0 * apical + 5.0 * np.cos(around - 2.6)
    _paint(signal, _cover(skin, pixel), _FAT * (1.0 + 0.08 * texture))
    _paint(signal, _cover(skin - fat, pixel), _MUSCLE * (1.0 + 0.2 * texture))
    between = np.minimum(skin - fat - 9.0, -cavity - 13.0) + 2.5 * texture
    _paint(signal, _cover(between, pixel), _FAT * 0.75)
    _paint(signal, _cover(cavity + 12.0, pixel), _MUSCLE * (0.9 + 0.2 * texture))
    ribs = np.cos(19.0 * around + 5.0 * apical)
    _paint(signal, _cover(3.0 * ribs - np.abs(cavity + 5.5), pixel), _FAT * 0.6)
    _paint(signal, _cover(cavity + 1.5, pixel), _FAT * 0.5)
    _paint(signal, _cover(cavity, pixel), _LUNG * (1.0 + 0.4 * texture) + vessels)


def _thorax(x: np.ndarray, y: np.ndarray, apical: float) -> np.ndarray:
    """Depth below the chest's inner wall, mm. Its top comes down towards the apex."""
    return _ellipse(
        x, y, (22.0 - 8.0 * apical, 32.0 + 22.0 * apical), (106.0 - 12.0 * apical, 150.0 - 36.0 * apical), _LEAN
    )


def _draw_abdomen(
    signal: np.ndarray, x: np.ndarray, y: np.ndarray, apical: float, texture: np.ndarray, pixel: float
) -> None:
    """What lies below the diaphragm, and the fat on which the heart rests."""
    cavity = _thorax(x, y, apical) - 1.0
    dome = 37.0 - 20.0 * max(apical, 0.0) ** 1.5 + 0.0022 * (x - 5.0) ** 2 + 4.0 * np.sin(x / 24.0)
    below = np.minimum(y - dome, cavity)
    pad = np.maximum(
        _ellipse(x, y, (-62.0, 30.0), (32.0, 20.0), 0.6), _ellipse(x, y, (30.0, 36.0 - 10.0 * apical), (20.0, 7.0), 0.5)
    )
    _paint(signal, _cover(np.minimum(pad, cavity), pixel), _FAT * (0.8 + 0.12 * texture))
    _paint(signal, _cover(below, pixel), _MUSCLE)
    _paint(signal, _cover(below - 2.5, pixel), _FAT * (0.75 + 0.15 * texture))
    left_lobe = np.maximum(
        _ellipse(x, y, (-52.0, 98.0), (80.0, 64.0), -0.25), _ellipse(x, y, (0.0, 62.0), (46.0, 19.0), -0.2)
    )
    liver = np.minimum(left_lobe, below - 3.5)
    branches = np.clip(texture - 1.45, 0.0, 0.6)
    _paint(signal, _cover(liver, pixel), _LIVER * (1.0 + 0.05 * texture) + 0.6 * branches)
    stomach = np.minimum(_ellipse(x, y, (58.0, 72.0 - 10.0 * apical), (30.0, 22.0), 0.35), below - 4.0)
    _paint(signal, _cover(stomach, pixel), 0.34)
    _paint(signal, _cover(stomach - 4.0, pixel), 0.42 + 0.16 * texture)
    spleen = np.minimum(_ellipse(x, y, (104.0, 86.0), (15.0, 34.0), 0.25), below - 3.0)
    _paint(signal, _cover(spleen, pixel), 0.40 + 0.02 * texture)
    kidney = _ellipse(x, y, (76.0, 122.0), (20.0, 28.0), -0.3)
    _paint(signal, _cover(np.minimum(kidney, below - 4.0), pixel), 0.52 + 0.04 * texture)
    _paint(signal, _cover(np.minimum(kidney - 9.0, below - 4.0), pixel), 0.40 + 0.10 * texture)
    spine = _ellipse(x, y, (24.0, 146.0), (20.0, 26.0), 0.1)
    _paint(signal, _cover(spine, pixel), 0.12)
    _paint(signal, _cover(spine - 2.5, pixel), 0.30 + 0.08 * texture)
    for center, radius, value in (((36.0, 106.0), 10.5, _BLOOD), ((-2.0, 112.0), 9.0, 0.72)):
        vessel = _ellipse(x, y, center, (radius, radius * 1.1))
        _paint(signal, _cover(vessel + 1.5, pixel), _MUSCLE)
        _paint(signal, _cover(vessel, pixel), value * (1.0 + 0.03 * texture))


def _move_diaphragm(body: np.ndarray, y: np.ndarray, motion: np.ndarray, spacing: float) -> np.ndarray:
    """The slice in every frame, float32 (T, I, J): what lies low in the picture moves by ``motion`` mm (T,)."""
    share = _smooth_step((y - 15.0) / 40.0) * (1.0 - 0.8 * _smooth_step((y - 60.0) / 60.0))
    row = np.arange(len(y))[None, :] + motion[:, None] * share[None, :] / spacing
    row = np.clip(row, 0, len(y) - 1.001)
    lower = np.minimum(row.astype(int), max(len(y) - 2, 0))
    upper = np.minimum(lower + 1, len(y) - 1)
    blend = (row - lower).astype(np.float32)
    moved = body[:, lower] * (1 - blend) + body[:, upper] * blend
    return moved.transpose(1, 0, 2)


# ------------------------------------------------------------------------------------------------- drawing the heart


@dataclass(frozen=True)
class _Polar:
    """A plane's pixels as the ventricles see them; each (1, I, J) so that frames broadcast in front."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray
    crescent: np.ndarray

    @classmethod
    def of_plane(cls, x: np.ndarray, y: np.ndarray, z: float) -> _Polar:
        lean = z / 85.0
        x = (x - _AXIS_DRIFT[0] * lean)[None, :, None]
        y = (y - _AXIS_DRIFT[1] * lean)[None, None, :]
        angle = np.arctan2(y, x)
        radius = np.sqrt((x * x + y * y) / _outline(angle))
        return cls(x, y, radius, angle, _crescent(angle).astype(np.float32))


def _draw_heart(
    options: PhantomOptions,
    grid: _Grid,
    heart: _Heart,
    signal: np.ndarray,
    labels: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Draw the heart into ``signal`` and ``labels``, both (K, T, I, J), in place."""
    reach = 1.12 * float(heart.epi_radius.max()) + 14.0
    rv_reach = 1.12 * float((heart.epi_radius + heart.rv_reach).max()) + 10.0
    flow = 0.05 * _smooth_noise(rng, grid, 9.0)
    ridges = rng.uniform(0.0, 2.0 * np.pi, 4)
    offsets = ((np.arange(_SUBSLICES) + 0.5) / _SUBSLICES - 0.5) * grid.spacing[2]
    for k, z in enumerate(grid.z):
        columns, rows = grid.window(
            k, -max(rv_reach, 75.0), max(reach, 52.0), -max(rv_reach, 58.0), max(rv_reach, 52.0)
        )
        x, y = grid.x[k, columns], grid.y[k, rows]
        if not (len(x) and len(y)):
            continue
        behind = signal[k, :, columns, rows].copy()
        drawn = np.zeros_like(behind)
        for offset in offsets:
            plane = _Polar.of_plane(x, y, float(z + offset))
            drawn += _draw_plane(options, heart, plane, float(z + offset), behind, flow[k, columns, rows], ridges, grid)
        signal[k, :, columns, rows] = drawn / _SUBSLICES
        labels[k, :, columns, rows] = _label_plane(heart, _Polar.of_plane(x, y, float(z)), float(z))


def _label_plane(heart: _Heart, plane: _Polar, z: float) -> np.ndarray:
    """uint8 (T, I, J)."""
    endo, epi, depth = (radius[:, None, None] for radius in (heart.endo(z), heart.epi(z), heart.rv_depth(z)))
    labels = np.zeros((len(heart.base), *plane.radius.shape[1:]), np.uint8)
    labels[plane.radius < epi + depth * plane.crescent] = CANONICAL["RV"]
    labels[plane.radius < epi] = CANONICAL["MYO"]
    labels[plane.radius < endo] = CANONICAL["LV"]
    return labels


def _draw_plane(
    options: PhantomOptions,
    heart: _Heart,
    plane: _Polar,
    z: float,
    behind: np.ndarray,
    flow: np.ndarray,
    ridges: np.ndarray,
    grid: _Grid,
) -> np.ndarray:
    """Signed signal of one plane through the heart in every frame, float32 (T, I, J)."""
    signal = behind.copy()
    ventricles = _cover(z - heart.base, grid.spacing[2] / _SUBSLICES)[:, None, None].astype(np.float32)
    if ventricles.max() > 0:
        _draw_ventricles(options, heart, plane, z, signal, flow, ridges, grid.pixel)
    if ventricles.min() < 1:
        atria = _draw_atria(plane, behind, flow, grid.pixel)
        signal = atria + ventricles * (signal - atria)
    return signal


def _draw_ventricles(
    options: PhantomOptions,
    heart: _Heart,
    plane: _Polar,
    z: float,
    signal: np.ndarray,
    flow: np.ndarray,
    ridges: np.ndarray,
    pixel: float,
) -> None:
    """Fat, walls and blood of the ventricles, over (T, I, J), in place."""
    below_base = np.maximum(z, heart.base)
    endo, epi, depth = (
        np.diagonal(radius)[:, None, None].astype(np.float32)
        for radius in (
            heart.endo(below_base[:, None]),
            heart.epi(below_base[:, None]),
            heart.rv_depth(below_base[:, None]),
        )
    )
    myocardium = _BLOOD - options.contrast * (_BLOOD - _MYOCARDIUM)
    rv_edge = epi + depth * plane.crescent
    present = np.minimum(epi / 6.0, 1.0)
    groove = np.exp(-(((plane.crescent - 0.12) / 0.16) ** 2))
    patches = np.clip(np.sin(2.0 * plane.angle + 0.9 + 0.03 * z) + 0.4 * np.sin(5.0 * plane.angle + 0.05 * z), 0.0, 1.0)
    fat = (0.4 + 4.0 * groove + 2.5 * patches * np.minimum(plane.crescent * 4.0, 1.0) + 0.8 * patches) * present
    rv_wall = 2.6 * np.minimum(plane.crescent * 6.0, 1.0) * np.minimum(depth / 4.0, 1.0)
    outer = rv_edge + rv_wall
    _paint(signal, _cover(outer + fat - plane.radius, pixel) * present, _FAT * 0.8)
    _paint(signal, _cover(outer - plane.radius, pixel), myocardium * 0.95)
    rv_ridge = 1.8 * np.clip(np.sin(17.0 * plane.angle + ridges[0]) + np.sin(29.0 * plane.angle + ridges[1]), 0.0, 2.0)
    _paint(signal, _cover(rv_edge - rv_ridge * np.minimum(depth / 20.0, 1.0) - plane.radius, pixel), _RV_BLOOD + flow)
    _paint(signal, _cover(epi - plane.radius, pixel), myocardium * (1.0 + flow))
    height = np.clip((z - heart.base) / heart.endo_length, 0.0, 1.0)[:, None, None].astype(np.float32)
    ridge = 1.1 * np.clip(np.sin(13.0 * plane.angle + ridges[2]) + np.sin(21.0 * plane.angle + ridges[3]), 0.0, 2.0)
    ridge = ridge * _smooth_step(height / 0.4)
    _paint(signal, _cover(endo - ridge - plane.radius, pixel), _BLOOD + 1.2 * flow)
    _draw_papillary_muscles(plane, endo, height, signal, myocardium, pixel)


def _draw_papillary_muscles(
    plane: _Polar, endo: np.ndarray, height: np.ndarray, signal: np.ndarray, value: float, pixel: float
) -> None:
    """Two dark islands in the pool, between a quarter and three quarters of its height. They keep the pool's label."""
    presence = _smooth_step((height - 0.2) / 0.15) * _smooth_step((0.8 - height) / 0.15)
    for angle, share, size in _PAPILLARY_MUSCLES:
        place = share * endo
        squared = plane.radius**2 + place**2 - 2.0 * plane.radius * place * np.cos(plane.angle - angle)
        depth = size * np.minimum(endo / 20.0, 1.0) - np.sqrt(np.maximum(squared, 0.0))
        _paint(signal, _cover(depth, 1.5 * pixel) * presence * 0.9, value)


def _draw_atria(plane: _Polar, behind: np.ndarray, flow: np.ndarray, pixel: float) -> np.ndarray:
    """Signed signal above the base, float32 (T, I, J): atria, aortic root and outflow tract in fat."""
    x, y = plane.x, plane.y
    chambers = (
        (_ellipse(x, y, (10.0, 20.0), (35.0, 17.0), 0.25), 0.80),
        (_ellipse(x, y, (-48.0, 14.0), (20.0, 31.0), 0.35), 0.74),
        (_ellipse(x, y, (-32.0, -26.0), (25.0, 15.0), -0.5), 0.80),
        (_ellipse(x, y, (-5.0, -9.0), (14.0, 13.0)), 0.92),
    )
    signal = behind.copy()
    uneven = 16.0 * flow  # mm: no chamber's outline is an ellipse
    hull = np.maximum.reduce([depth for depth, _ in chambers]) + uneven
    _paint(signal, _cover(hull + 3.0 + uneven, pixel), _FAT * 0.8)
    for depth, value in chambers:
        _paint(signal, _cover(depth + uneven + 1.0, pixel), _MUSCLE)
        _paint(signal, _cover(depth + uneven, pixel), value + flow)
    return signal


# -------------------------------------------------------------------------------------------------------- the scanner


def _scan(options: PhantomOptions, grid: _Grid, signal: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """What a scanner makes of the signal (K, T, I, J): int16 (I, J, K, T)."""
    widths = (0.0, 0.0, _POINT_SPREAD / grid.spacing[0], _POINT_SPREAD / grid.spacing[1])
    magnitude = np.abs(ndimage.gaussian_filter(signal, widths, truncate=3.0))
    magnitude *= _coil_sensitivity(options, grid, rng)[:, None]
    if options.noise_level:
        magnitude += options.noise_level * rng.standard_normal(signal.shape, dtype=np.float32)
        np.square(magnitude, out=magnitude)
        magnitude += np.square(options.noise_level * rng.standard_normal(signal.shape, dtype=np.float32))
        np.sqrt(magnitude, out=magnitude)
    magnitude *= _BLOOD_LEVEL
    return np.clip(np.rint(magnitude), 0, 32767).astype(np.int16).transpose(2, 3, 0, 1)


def _coil_sensitivity(options: PhantomOptions, grid: _Grid, rng: np.random.Generator) -> np.ndarray:
    """Float32 (K, I, J), about 1 at the heart, higher towards the coil on the chest."""
    x, y = grid.x[:, :, None] / 100.0, grid.y[:, None, :] / 100.0
    tilt = rng.normal(0.0, 0.35, 3)
    exponent = -(0.9 + tilt[0]) * x - (0.3 + tilt[1]) * y + 0.25 * (x * x + y * y) + 0.3 * tilt[2] * x * y
    return np.exp(options.bias_strength * np.clip(exponent, -3.0, 3.0)).astype(np.float32)


def _orient(
    options: PhantomOptions, image: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lay the arrays out as asked: image and labels (I, J, K, T) and their affine. The heart stays where it is."""
    orientation = _orientation(options.orientation)
    labels = labels.transpose(2, 3, 0, 1)
    linear = orientation.directions * np.asarray(options.spacing)
    middle = (np.array(image.shape[:3]) - 1) / 2
    origin = np.array([-20.0, 15.0, 5.0]) - linear @ middle
    for axis in orientation.reversed_axes:
        image, labels = np.flip(image, axis), np.flip(labels, axis)
        origin = origin + linear[:, axis] * (image.shape[axis] - 1)
        linear = linear * np.where(np.arange(3) == axis, -1.0, 1.0)
    order = (*orientation.order, 3)
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear[:, orientation.order], origin
    return np.ascontiguousarray(image.transpose(order)), np.ascontiguousarray(labels.transpose(order)), affine
