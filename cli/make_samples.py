"""Makes the bundled sample photos: one toy robot, ray-marched from eight sides in eight lights.

    python cli/make_samples.py [folder] [--scale 1.0]

Deterministic; takes a few minutes. Signed distances after https://iquilezles.org/articles/distfunctions/.
Points and directions are float32 arrays of shape (n, 3); one unit is about the width of the robot's body.
"""

import argparse
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

Array = npt.NDArray[Any]  # float32
Colour = tuple[float, float, float]

SAMPLES: Final = Path(__file__).parent / "src" / "fluxline_cli" / "samples"
SUPERSAMPLING: Final = 1.5
JPEG_QUALITY: Final = 88
EXPOSURE: Final = 0.66
CENTRE: Final[Array] = np.array([0.0, 1.4, 0.0], np.float32)
RADIUS: Final = 1.75  # of a sphere around the robot
TEAL, CREAM, ORANGE, METAL, NAVY, GLOW, RED, YELLOW = range(8)
COLOURS: Final = np.array(
    [
        (0.05, 0.42, 0.40),
        (0.86, 0.78, 0.62),
        (0.92, 0.34, 0.06),
        (0.45, 0.47, 0.50),
        (0.015, 0.025, 0.06),
        (0.35, 1.0, 0.95),
        (0.80, 0.05, 0.05),
        (0.95, 0.66, 0.08),
    ],
    np.float32,
)
SHINE: Final = np.array([0.35, 0.25, 0.35, 0.8, 1.0, 0.0, 0.7, 0.35], np.float32)


@dataclass(frozen=True)
class View:
    """One photo: camera on an orbit (degrees), light, and what stands behind; colours are linear RGB."""

    size: tuple[int, int]
    azimuth: float
    elevation: float
    distance: float
    sun_azimuth: float
    sun_height: float
    sun: Colour
    sky: Colour
    table: Colour
    wall: Colour
    pattern: str
    aim: Colour = (0.0, 1.32, 0.0)


VIEWS: Final = (
    View(
        (1024, 1024), 12, 10, 7.2, -40, 48,
        (3.0, 2.7, 2.3), (0.42, 0.50, 0.62), (0.36, 0.19, 0.09), (0.62, 0.50, 0.38), "wood",
    ),
    View(
        (1152, 864), -32, 14, 6.8, 35, 55,
        (2.8, 2.8, 2.8), (0.55, 0.62, 0.75), (0.75, 0.78, 0.82), (0.45, 0.62, 0.85), "plain",
    ),
    View(
        (864, 1152), 40, 5, 6.5, -20, 18,
        (3.6, 1.9, 0.8), (0.40, 0.34, 0.50), (0.30, 0.20, 0.16), (0.85, 0.38, 0.22), "bokeh",
    ),
    View(
        (1024, 1024), -8, 34, 7.4, 60, 60,
        (2.9, 2.8, 2.5), (0.50, 0.56, 0.62), (0.80, 0.78, 0.72), (0.7, 0.7, 0.68), "checks",
    ),
    View(
        (1152, 864), 68, 9, 7.0, 20, 40,
        (2.6, 2.8, 2.2), (0.42, 0.58, 0.45), (0.16, 0.32, 0.10), (0.22, 0.42, 0.20), "bokeh",
    ),
    View(
        (864, 1152), -62, 16, 6.6, -95, 35,
        (1.7, 2.1, 3.4), (0.16, 0.18, 0.34), (0.10, 0.11, 0.18), (0.06, 0.07, 0.16), "bokeh",
    ),
    View(
        (1024, 1024), 22, 18, 5.2, -30, 45,
        (2.9, 2.6, 2.5), (0.60, 0.50, 0.56), (0.82, 0.52, 0.52), (0.90, 0.62, 0.62), "plain", (0.0, 1.75, 0.0),
    ),
    View(
        (1152, 864), 150, 15, 7.2, 110, 42,
        (3.0, 2.7, 2.2), (0.45, 0.52, 0.62), (0.42, 0.26, 0.14), (0.36, 0.50, 0.52), "wood",
    ),
)  # fmt: skip


def f32(values: npt.ArrayLike) -> Array:
    """Numbers as float32, so that nothing they meet becomes larger."""
    return np.asarray(values, np.float32)


def length(vectors: Array) -> Array:
    """Euclidean lengths, (n,)."""
    return f32(np.sqrt(np.einsum("ij,ij->i", vectors, vectors)))


def unit(vectors: Array) -> Array:
    """The vectors at length one."""
    return vectors / length(vectors)[:, None]


def box(points: Array, centre: Colour, half: Colour, rounding: float) -> Array:
    """Distance to a box with rounded edges."""
    outside = np.abs(points - f32(centre)) - f32(half) + f32(rounding)
    return f32(length(np.maximum(outside, 0)) + np.minimum(outside.max(axis=1), 0) - f32(rounding))


def ball(points: Array, centre: Colour, radius: float) -> Array:
    """Distance to a sphere."""
    return length(points - f32(centre)) - f32(radius)


def rod(points: Array, start: Colour, end: Colour, radius: float) -> Array:
    """Distance to a cylinder with round ends."""
    axis = np.subtract(end, start).astype(np.float32)
    along = np.clip((points - f32(start)) @ axis / (axis @ axis), 0, 1)
    return length(points - f32(start) - along[:, None] * axis) - f32(radius)


def disc(points: Array, centre: Colour, axis: int, radius: float, half: float) -> Array:
    """Distance to a flat cylinder along an axis (0 = x, 1 = y, 2 = z), with edges a little round."""
    moved = points - f32(centre)
    across = length(np.delete(moved, axis, axis=1)) - f32(radius - 0.03)
    outside = np.stack([across, np.abs(moved[:, axis]) - f32(half - 0.03)], axis=1)
    return f32(length(np.maximum(outside, 0)) + np.minimum(outside.max(axis=1), 0) - f32(0.03))


def smile(points: Array) -> Array:
    """Distance to the lower half of a thin ring on the face."""
    moved = points - f32((0, 1.86, 0.475))
    angle = np.clip(np.arctan2(moved[:, 1], moved[:, 0]), -np.pi, 0)
    angle = np.where(moved[:, 1] > 0, np.where(moved[:, 0] > 0, -0.35, 0.35 - np.pi), angle)
    angle = np.clip(angle, 0.35 - np.pi, -0.35)
    ring = np.stack([0.13 * np.cos(angle), 0.13 * np.sin(angle), np.zeros_like(angle)], axis=1)
    return length(moved - ring) - f32(0.022)


def robot(points: Array) -> list[tuple[int, Array]]:
    """Every part of the robot as (material, distances); it waves with its right hand."""
    sides = points.copy()
    sides[:, 0] = np.abs(sides[:, 0])
    lifted = points[:, 0] < 0
    lowered_arm = np.minimum(rod(sides, (0.62, 1.2, 0), (0.8, 0.84, 0.12), 0.085), 9)
    raised_arm = rod(sides, (0.62, 1.2, 0), (0.96, 1.52, 0.1), 0.085)
    lowered_hand, raised_hand = ball(sides, (0.86, 0.7, 0.17), 0.16), ball(sides, (1.04, 1.64, 0.13), 0.16)
    return [
        (ORANGE, box(sides, (0.28, 0.13, 0.08), (0.21, 0.13, 0.3), 0.11)),
        (METAL, rod(sides, (0.28, 0.15, 0), (0.28, 0.65, 0), 0.11)),
        (TEAL, box(points, (0, 1.0, 0), (0.54, 0.46, 0.4), 0.18)),
        (CREAM, disc(points, (0, 1.02, 0.4), 2, 0.27, 0.05)),
        (RED, ball(points, (0, 1.02, 0.4), 0.12)),
        (YELLOW, ball(sides, (0.36, 0.72, 0.37), 0.06)),
        (ORANGE, ball(sides, (0.58, 1.2, 0), 0.17)),
        (METAL, np.where(lifted, raised_arm, lowered_arm)),
        (ORANGE, np.where(lifted, raised_hand, lowered_hand)),
        (METAL, rod(points, (0, 1.4, 0), (0, 1.6, 0), 0.15)),
        (CREAM, box(points, (0, 1.92, 0), (0.58, 0.4, 0.42), 0.22)),
        (NAVY, box(points, (0, 1.92, 0.38), (0.44, 0.27, 0.08), 0.07)),
        (GLOW, box(sides, (0.19, 1.98, 0.455), (0.085, 0.105, 0.035), 0.034)),
        (GLOW, smile(points)),
        (ORANGE, disc(sides, (0.6, 1.92, 0), 0, 0.17, 0.09)),
        (METAL, rod(points, (0, 2.3, 0), (0, 2.62, 0), 0.03)),
        (RED, ball(points, (0, 2.7, 0), 0.1)),
        (TEAL, box(points, (0, 1.05, -0.42), (0.3, 0.26, 0.12), 0.08)),
        (YELLOW, disc(sides, (0.12, 1.05, -0.54), 2, 0.07, 0.04)),
    ]


def distance(points: Array) -> Array:
    """Distance to the nearest part of the robot."""
    return f32(np.minimum.reduce([part for _, part in robot(points)]))


def normals(points: Array) -> Array:
    """Outward unit normals of the robot's surface, by a tetrahedron of four distances."""
    corners = f32([(1, -1, -1), (-1, -1, 1), (-1, 1, -1), (1, 1, 1)])
    return unit(np.add.reduce([corner * distance(points + corner * 0.001)[:, None] for corner in corners]))


def sphere_span(origins: Array, rays: Array) -> tuple[Array, Array]:
    """Where rays enter and leave the sphere around the robot; leaving is negative for those that miss it."""
    moved = origins - CENTRE
    half = np.einsum("ij,ij->i", moved, rays)
    root = half**2 - np.einsum("ij,ij->i", moved, moved) + f32(RADIUS**2)
    reach = np.sqrt(np.maximum(root, 0))
    return np.maximum(-half - reach, 0), np.where(root > 0, reach - half, f32(-1))


def march(origins: Array, rays: Array) -> Array:
    """How far each ray goes until it meets the robot; infinity for those that do not."""
    travelled, last = sphere_span(origins, rays)
    hits = np.full(len(rays), np.inf, np.float32)
    active = np.flatnonzero(last > 0)
    for _ in range(110):
        step = distance(origins[active] + rays[active] * travelled[active, None])
        travelled[active] += step * f32(0.95)
        arrived = step < 0.0008
        hits[active[arrived]] = travelled[active[arrived]]
        active = active[~arrived & (travelled[active] < last[active])]
        if not len(active):
            break
    return hits


def shadow(points: Array, sun: Array, softness: float = 9.0) -> Array:
    """How much of a wide sun each point sees, 0–1."""
    rays = np.broadcast_to(sun, points.shape)
    travelled, last = sphere_span(points, rays)
    travelled = travelled + f32(0.02)
    light = np.ones(len(points), np.float32)
    active = np.flatnonzero(last > 0)
    for _ in range(50):
        gap = distance(points[active] + rays[active] * travelled[active, None])
        light[active] = np.minimum(light[active], np.clip(softness * gap / travelled[active], 0, 1))
        travelled[active] += np.clip(gap, 0.02, 0.2)
        active = active[(light[active] > 0.01) & (travelled[active] < last[active])]
        if not len(active):
            break
    return light * light * (3 - 2 * light)


def openness(points: Array, facing: Array) -> Array:
    """Ambient light that reaches each point, 0–1: what lies close in front of it, table included, takes some away."""
    blocked = np.zeros(len(points), np.float32)
    for reach, weight in ((0.04, 1.0), (0.1, 0.7), (0.22, 0.5), (0.45, 0.3)):
        ahead = points + facing * f32(reach)
        blocked += f32(weight) * np.maximum(reach - np.minimum(distance(ahead), np.abs(ahead[:, 1])), 0) / reach
    return np.clip(1 - blocked * f32(0.42), 0, 1)


def towards(azimuth: float, elevation: float) -> Array:
    """A direction: 0° azimuth is in front of the robot, 90° on its left."""
    around, up = np.radians(azimuth), np.radians(elevation)
    return f32([np.sin(around) * np.cos(up), np.sin(up), np.cos(around) * np.cos(up)])


def camera(view: View, size: tuple[int, int]) -> tuple[Array, Array]:
    """Origins and unit directions of the rays through every pixel, row by row."""
    eye = f32(view.aim) + towards(view.azimuth, view.elevation) * f32(view.distance)
    forward = unit((f32(view.aim) - eye)[None])[0]
    right = unit(np.cross(forward, f32([0, 1, 0]))[None])[0]
    up = np.cross(right, forward)
    width, height = size
    x, y = np.meshgrid(np.arange(width) - width / 2 + 0.5, height / 2 - 0.5 - np.arange(height))
    scale = f32(0.52 / min(size))
    rays = forward + (x.reshape(-1, 1) * right + y.reshape(-1, 1) * up).astype(np.float32) * scale
    return np.broadcast_to(eye.astype(np.float32), rays.shape), unit(rays.astype(np.float32))


def backdrop(view: View, rays: Array) -> Array:
    """What lies behind the table: a wall that darkens upwards, with lights out of focus where asked for."""
    height = np.clip(rays[:, 1:2] * 2.2 + 0.5, 0, 1)
    colour = f32(view.wall) * (1.1 - 0.55 * height)
    if view.pattern == "bokeh":
        rng = np.random.default_rng(int(view.azimuth) + 1000)
        middle = towards(view.azimuth + 180, -view.elevation * 0.3)
        for _ in range(70):
            spot = unit((middle + rng.normal(0, 0.3, 3).astype(np.float32))[None])[0]
            radius, strength = rng.uniform(0.02, 0.055), rng.uniform(0.1, 0.5)
            edge = np.clip((radius - length(rays - spot)) / 0.008, 0, 1)[:, None]
            tint = f32(view.wall) * f32(rng.uniform(0.8, 2.2, 3)) + f32(view.sun) * f32(0.12)
            colour = colour + edge * f32(strength) * tint
    return colour


def grain_noise(values: Array, seed: int) -> Array:
    """Smooth noise of one variable, -1–1: what wood is made of."""
    table = np.random.default_rng(seed).uniform(-1, 1, 512).astype(np.float32)
    whole = np.floor(values).astype(np.int64)
    part = values - whole
    part = part * part * (3 - 2 * part)
    return table[whole % 512] * (1 - part) + table[(whole + 1) % 512] * part


def table_colour(view: View, points: Array) -> Array:
    """The table's own colour at points on it."""
    x, z = points[:, 0], points[:, 2]
    base = f32(view.table)
    if view.pattern == "wood":
        plank = np.floor(x / 0.9)
        drift = grain_noise(z * 0.7 + plank * 31, 2) * 0.12
        fibre = grain_noise((x + drift) * 45, 3) * 0.14 + grain_noise((x + drift) * 11, 4) * 0.16
        seam = np.clip(np.abs(x / 0.9 - plank - 0.5) * 40 - 19.3, 0, 1)
        shade = (1 + fibre + grain_noise(plank * 7.3, 5) * 0.15) * (1 - 0.6 * seam)
        return np.asarray(base * shade[:, None], np.float32)
    if view.pattern == "checks":
        stripe = (np.floor(x / 0.55) % 2) + (np.floor(z / 0.55) % 2)
        mixed = f32([(0.80, 0.78, 0.72), (0.62, 0.25, 0.22), (0.45, 0.06, 0.06)])
        return f32(mixed[stripe.astype(np.int64)])
    return np.broadcast_to(base, points.shape)


def shade_table(view: View, points: Array, rays: Array) -> Array:
    """Light that leaves the table towards the camera, fading into the backdrop far away."""
    sun = towards(view.azimuth + view.sun_azimuth, view.sun_height)
    up = np.broadcast_to(f32([0, 1, 0]), points.shape)
    direct = f32(view.sun) * (shadow(points, sun) * sun[1])[:, None] * f32(0.55)
    near = np.clip(distance(points + up * f32(0.02)) * 2.2, 0, 1)[:, None]
    lit = table_colour(view, points) * (direct + f32(view.sky) * (0.35 + 0.65 * near))
    bounced = rays * f32([1, -1, 1])
    meeting = march(points + up * f32(0.01), bounced)
    seen = np.flatnonzero(np.isfinite(meeting))
    if len(seen):
        mirror = shade_robot(view, points[seen] + bounced[seen] * meeting[seen, None], bounced[seen])
        fade = 0.16 * np.clip(1 - meeting[seen, None] / 1.6, 0, 1)
        lit[seen] = lit[seen] * (1 - fade) + mirror * fade
    fog = np.clip((length(points) - 3.5) / 7, 0, 1)[:, None]
    return np.asarray(lit * (1 - fog) + backdrop(view, rays) * fog, np.float32)


def shade_robot(view: View, points: Array, rays: Array) -> Array:
    """Light that leaves the robot towards the camera: sun, sky, what the table throws back, gloss, and its lamps."""
    facing = normals(points)
    material = np.argmin(np.stack([part for _, part in robot(points)]), axis=0)
    material = np.array([kind for kind, _ in robot(points[:1])])[material]
    sun = towards(view.azimuth + view.sun_azimuth, view.sun_height)
    visible = shadow(points + facing * f32(0.01), sun)
    direct = (np.maximum(facing @ sun, 0) * visible)[:, None] * f32(view.sun)
    open_ = openness(points, facing)[:, None]
    upward = (0.5 + 0.5 * facing[:, 1])[:, None]
    ambient = (f32(view.sky) * upward + f32(view.table) * 0.55 * (1 - upward)) * open_
    rim = np.clip(facing @ towards(view.azimuth + 180 - view.sun_azimuth, 25), 0, 1)[:, None] ** 2 * open_
    lit = COLOURS[material] * (direct * 0.55 + ambient * 1.15 + rim * f32(view.wall) * 0.5)
    half = unit(sun - rays)
    gloss = SHINE[material][:, None]
    highlight = np.maximum(np.einsum("ij,ij->i", facing, half), 0)[:, None] ** 60 * visible[:, None]
    bounced = rays - 2 * np.einsum("ij,ij->i", rays, facing)[:, None] * facing
    window = np.clip(bounced[:, 1:2] * 1.6 + 0.1, 0, 1) * f32(view.sky) * 1.3 + 0.1 * f32(view.wall)
    fresnel = 0.04 + 0.5 * (1 - np.clip(-np.einsum("ij,ij->i", rays, facing), 0, 1))[:, None] ** 4
    lit = lit + gloss * (highlight * f32(view.sun) * 0.35 + fresnel * window * open_)
    lit[material == GLOW] = COLOURS[GLOW] * f32(0.95)
    return np.asarray(lit, np.float32)


def trace(view: View, size: tuple[int, int]) -> Array:
    """Linear light of every pixel, (height, width, 3)."""
    origins, rays = camera(view, size)
    hits = march(origins, rays)
    light = backdrop(view, rays)
    down = np.where(rays[:, 1] < -1e-4, -origins[:, 1] / np.minimum(rays[:, 1], -1e-4), np.inf)
    for reached, shade in ((hits, shade_robot), (down, shade_table)):
        seen = np.flatnonzero(np.isfinite(reached) & (reached <= np.minimum(hits, down)) & (reached < 60))
        light[seen] = in_parts(partial(shade, view), origins[seen] + rays[seen] * reached[seen, None], rays[seen])
    return light.reshape(size[1], size[0], 3)


def in_parts(shade: Callable[[Array, Array], Array], points: Array, rays: Array) -> Array:
    """Shade some points at a time, so that memory stays small."""
    parts = [slice(start, start + 100_000) for start in range(0, max(1, len(points)), 100_000)]
    return np.concatenate([shade(points[part], rays[part]) for part in parts])


def develop(light: Array, size: tuple[int, int], seed: int) -> Image.Image:
    """From linear light to a photo: glow of lamps, tone curve, vignette, grain."""
    light = light * f32(EXPOSURE)
    curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)  # ACES, Narkowicz 2015
    picture = Image.fromarray((np.clip(curve, 0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8))
    picture = picture.resize(size, Image.Resampling.LANCZOS)
    sharp = np.asarray(picture, np.float32)
    soft = np.asarray(picture.filter(ImageFilter.GaussianBlur(size[0] / 60)), np.float32)
    y, x = np.mgrid[-1 : 1 : size[1] * 1j, -1 : 1 : size[0] * 1j]
    vignette = 1 - 0.16 * (x**2 + y**2)[..., None] / 2
    noise = np.random.default_rng(seed).normal(0, 2.2, sharp.shape)
    return Image.fromarray(np.clip((0.92 * sharp + 0.08 * soft) * vignette + noise, 0, 255).astype(np.uint8))


def make(number: int, folder: Path, scale: float) -> Path:
    """Render one view (numbered from 0) and write it."""
    view = VIEWS[number]
    size = (round(view.size[0] * scale), round(view.size[1] * scale))
    fine = (round(size[0] * SUPERSAMPLING), round(size[1] * SUPERSAMPLING))
    path = folder / f"robot_{number + 1}.jpg"
    develop(trace(view, fine), size, number).save(path, quality=JPEG_QUALITY, optimize=True)
    return path


def main() -> None:
    """Make every sample, two at a time."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder", nargs="?", type=Path, default=SAMPLES)
    arguments.add_argument("--scale", type=float, default=1.0, help="smaller for a quick look")
    chosen = arguments.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(2) as workers:
        for path in workers.map(partial(make, folder=chosen.folder, scale=chosen.scale), range(len(VIEWS))):
            print(path.name, path.stat().st_size // 1024, "KB")


if __name__ == "__main__":
    main()
