"""Entropy coding and the file format: numpy only, useful without JAX and without the rest of jaxicm.

* :mod:`jaxicm.bits.tables`: integer probability tables, made once from probability mass functions.
* :mod:`jaxicm.bits.rans`: the vectorised interleaved range coder (rANS) over these tables.
* :mod:`jaxicm.bits.escape`: bit strings for the symbols that a table does not hold; any int32 can be coded.
* :mod:`jaxicm.bits.binary`: an adaptive binary coder in plain Python, for messages of some hundred bytes.
* :mod:`jaxicm.bits.container`: the file: header, sections, lengths and checksums.

>>> import numpy as np
>>> from jaxicm.bits import rans, tables
>>> normal = tables.gaussian_tables(np.array([0.5, 2.0]))
>>> encoder = rans.Encoder(normal)
>>> encoder.push(np.array([0, -3, 1]), np.array([0, 1, 1]))
>>> data = encoder.finish()
>>> rans.Decoder(data, normal).pull(np.array([0, 1, 1])).tolist()
[0, -3, 1]
"""
