"""The colours of a sample scene, close to those of real chips, visible and near infrared.

Plants are bright in near infrared, water is dark, clouds are bright in every band. A colour is
reflectance `float32 [4]`, 0 to 1: red, green, blue, near infrared; 0.5 is shown as white.
"""

import numpy as np
import numpy.typing as npt

WHITE_REFLECTANCE = 0.5


def _ground(red: int, green: int, blue: int, near_infrared: float) -> npt.NDArray[np.float32]:
    """The reflectance [4] of a visible colour (0 to 255) with its near infrared reflectance."""
    visible = np.array([red, green, blue], np.float32) / 255 * WHITE_REFLECTANCE
    return np.append(visible, np.float32(near_infrared)).astype(np.float32)


FOREST = [
    _ground(38, 54, 45, 0.31),
    _ground(33, 48, 42, 0.29),
    _ground(40, 49, 39, 0.30),
    _ground(33, 42, 27, 0.33),
    _ground(44, 62, 49, 0.34),
    _ground(44, 48, 41, 0.27),
]
SCRUB = [_ground(98, 102, 76, 0.30), _ground(116, 106, 84, 0.29), _ground(82, 92, 66, 0.31)]
FIELD = [
    _ground(168, 146, 116, 0.30),
    _ground(146, 124, 98, 0.28),
    _ground(120, 110, 86, 0.30),
    _ground(98, 108, 82, 0.38),
    _ground(80, 95, 72, 0.42),
    _ground(134, 132, 98, 0.34),
]
PLOT = [
    _ground(92, 114, 62, 0.41),
    _ground(78, 102, 56, 0.43),
    _ground(134, 128, 74, 0.34),
    _ground(126, 100, 74, 0.27),
]
MUDDY_WATER = [
    _ground(146, 118, 94, 0.06),
    _ground(164, 138, 112, 0.07),
    _ground(120, 92, 72, 0.05),
]
DARK_WATER = [_ground(34, 50, 78, 0.02), _ground(84, 98, 112, 0.03), _ground(52, 70, 88, 0.02)]
SAND = [_ground(206, 184, 154, 0.38), _ground(190, 166, 136, 0.36), _ground(182, 148, 116, 0.34)]
SOIL = [_ground(186, 160, 132, 0.36), _ground(166, 124, 92, 0.33), _ground(172, 158, 134, 0.32)]
ROAD = [_ground(176, 140, 108, 0.30), _ground(190, 164, 134, 0.32), _ground(160, 118, 88, 0.28)]
ROOF = [
    _ground(232, 228, 220, 0.42),
    _ground(200, 198, 196, 0.38),
    _ground(176, 104, 78, 0.30),
    _ground(158, 152, 146, 0.30),
]
YARD = [_ground(128, 114, 90, 0.28), _ground(108, 108, 78, 0.30), _ground(144, 122, 96, 0.28)]
TERRACE = [_ground(198, 182, 160, 0.34), _ground(184, 140, 110, 0.31), _ground(164, 158, 150, 0.29)]
PIT_POND = [_ground(96, 138, 132, 0.06), _ground(150, 140, 104, 0.08), _ground(60, 92, 92, 0.04)]
PIT_RIM = [_ground(216, 188, 146, 0.38), _ground(204, 164, 118, 0.36), _ground(224, 204, 168, 0.40)]
CHAR = [_ground(26, 20, 20, 0.06), _ground(40, 28, 26, 0.08), _ground(58, 38, 32, 0.11)]
SCORCHED = [_ground(112, 78, 56, 0.17), _ground(96, 70, 54, 0.16)]
ASH = _ground(150, 142, 136, 0.17)
BLOSSOM = [_ground(232, 200, 56, 0.44), _ground(226, 216, 190, 0.46), _ground(214, 172, 70, 0.44)]
FALLEN = [_ground(122, 108, 84, 0.22), _ground(108, 100, 84, 0.21), _ground(128, 106, 80, 0.22)]
TRACK = [_ground(134, 106, 76, 0.24), _ground(118, 98, 72, 0.24)]
GAP = [_ground(112, 104, 72, 0.30), _ground(96, 112, 64, 0.36)]
AIR = [_ground(102, 122, 126, 0.16), _ground(110, 108, 88, 0.16), _ground(96, 112, 100, 0.16)]
HAZE = [_ground(158, 164, 154, 0.36), _ground(142, 154, 150, 0.36), _ground(156, 154, 130, 0.36)]
CLOUD = [_ground(236, 236, 228, 0.56), _ground(224, 230, 228, 0.54), _ground(230, 226, 212, 0.55)]
