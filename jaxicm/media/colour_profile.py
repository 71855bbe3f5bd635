"""ICC profiles: which colour space they describe, and conversion to sRGB where RGB samples cannot carry them."""

import io

from PIL import Image, ImageCms

# as written by HP and Microsoft, by LittleCMS, by the ICC, and in the small profiles of web services
_SRGB_DESCRIPTIONS = frozenset(
    {"srgb iec61966-2.1", "srgb iec61966-2-1", "srgb built-in", "srgb", "srgb2014", "c2", "csrg", "uwsr"}
)


def profile_space(icc: bytes) -> str:
    """Return the colour space of a profile's samples: "RGB", "GRAY", "CMYK", ... (ICC.1, header bytes 16-19)."""
    return icc[16:20].decode("latin-1").strip()


def is_srgb(icc: bytes | None) -> bool:
    """Say whether a profile only states sRGB, which a picture without a profile has anyway.

    Args:
        icc: an ICC profile or None.

    Returns:
        True for None and for the usual sRGB profiles, known by their description; False where unsure.
    """
    if icc is None:
        return True
    try:
        description = ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc)))
    except (ImageCms.PyCMSError, OSError, ValueError):
        return False
    return profile_space(icc) == "RGB" and description.strip().lower() in _SRGB_DESCRIPTIONS


def convert_to_srgb(image: Image.Image, icc: bytes) -> Image.Image | None:
    """Convert a picture to sRGB through its profile.

    Args:
        image: a picture in the profile's colour space, for instance CMYK.
        icc: the profile.

    Returns:
        An RGB picture, or None where the profile is damaged or does not fit the picture.
    """
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
