"""Feed one of Pillow's decoders piece by piece, and see how much of each piece it takes.

`Image.load` of Pillow 13.0 reads a file by itself and does not say how far into it the picture
went; what it calls for that, `Image._getdecoder`, is the same since PIL.
"""

from __future__ import annotations

from types import TracebackType

from PIL import Image, ImageFile

Bytes = bytes | memoryview


class PiecewiseDecoder:
    """The decoder of an opened image of one tile, whose pixels go into that image.

    Args:
        image: Opened, `draft` called, and not loaded.

    Attributes:
        is_done: Whether the picture is finished.
    """

    def __init__(self, image: ImageFile.ImageFile) -> None:
        ((name, extents, _, arguments),) = image.tile
        image.load_prepare()
        self._image = image
        self._decoder = Image._getdecoder(image.mode, name, arguments, image.decoderconfig)
        self._decoder.setimage(image.im, extents)
        self._left = b""
        self.is_done = False

    @property
    def left(self) -> int:
        """Bytes that the decoder was given and has not taken yet."""
        return len(self._left)

    def feed(self, piece: Bytes) -> None:
        """Give the next bytes.

        Raises:
            OSError: If the decoder finds them broken.
        """
        if self.is_done or not piece:
            return
        given = self._left + bytes(piece) if self._left else piece
        taken, error = self._decoder.decode(given)
        if taken < 0 and error < 0:
            raise OSError("broken data stream when reading image file")
        self.is_done = taken < 0
        self._left = b"" if self.is_done else bytes(given[taken:])

    def __enter__(self) -> PiecewiseDecoder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._decoder.cleanup()
        if kind is None:
            self._image.tile = []  # it is loaded
