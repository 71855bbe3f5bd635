"""Pictures with Pillow and numpy, clips with ffmpeg and VTM; this package knows neither JAX nor the codecs."""

from jaxicm.media.files import atomic_write, find_files, find_pictures
from jaxicm.media.pictures import Picture, read_picture, write_picture

__all__ = ["Picture", "atomic_write", "find_files", "find_pictures", "read_picture", "write_picture"]
