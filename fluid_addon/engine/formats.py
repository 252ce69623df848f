# SPDX-License-Identifier: GPL-3.0-or-later
"""Field formats. Each carries the number of the Vulkan format of the same name (Vulkan 1.3 specification, VkFormat)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Format"]


class Format(IntEnum):
    """How one voxel of a field is stored. Vectors are packed: a three-vector of floats takes 12 bytes."""

    R32F = 100
    R32G32F = 103
    R32G32B32F = 106
    R32G32B32A32F = 109
    R16F = 76
    R16G16B16F = 90
    R32I = 99
    R32UI = 98

    @property
    def components(self) -> int:
        """Numbers per voxel, 1 to 4."""
        return _COMPONENTS[self]

    @property
    def dtype(self) -> np.dtype[np.generic]:
        """The numpy type of one component as it lies in memory."""
        return np.dtype(_DTYPES[self])

    @property
    def bytes_per_voxel(self) -> int:
        return self.components * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        return self.dtype.kind == "f"

    @property
    def is_half(self) -> bool:
        """Stored as 16-bit floats, computed as 32-bit floats."""
        return self.dtype == np.float16

    @property
    def glsl(self) -> str:
        """The GLSL type that a stencil reads and writes."""
        return self.scalar if self.components == 1 else f"vec{self.components}"

    @property
    def scalar(self) -> str:
        """The GLSL type of one component."""
        return {"f": "float", "i": "int", "u": "uint"}[self.dtype.kind]

    @property
    def glsl_stored(self) -> str:
        """The GLSL type of one voxel in the field's buffer."""
        if not self.is_half:
            return self.glsl
        return "float16_t" if self.components == 1 else f"f16vec{self.components}"


_COMPONENTS = {
    Format.R32F: 1,
    Format.R32G32F: 2,
    Format.R32G32B32F: 3,
    Format.R32G32B32A32F: 4,
    Format.R16F: 1,
    Format.R16G16B16F: 3,
    Format.R32I: 1,
    Format.R32UI: 1,
}
_DTYPES = {
    Format.R32F: np.float32,
    Format.R32G32F: np.float32,
    Format.R32G32B32F: np.float32,
    Format.R32G32B32A32F: np.float32,
    Format.R16F: np.float16,
    Format.R16G16B16F: np.float16,
    Format.R32I: np.int32,
    Format.R32UI: np.uint32,
}
