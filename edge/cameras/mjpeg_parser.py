"""Extracts JPEG images from a motion JPEG stream over HTTP, even if its multipart syntax is wrong."""

import re
from typing import Final

PART_MAX: Final = 16 * 1024 * 1024
"""Maximum bytes of one image; a stream that sends more without an image's end is no motion JPEG."""

_HEADER_MAX: Final = 8192
"""Maximum bytes before an image that may contain its multipart header."""

_BEGIN: Final = b"\xff\xd8\xff"
_LENGTH: Final = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE: Final = re.compile(rb"^content-type[ \t]*:[ \t]*([a-z]+)", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""Pattern of the next JPEG marker that begins a segment or ends the image."""
_START: Final = 0xD8
_END: Final = 0xD9
_AFTER_PART: Final = re.compile(rb"(?:\r?\n)*(?:--|\xff\xd8\xff)|(?:\r?\n)+$")
_LOOKAHEAD: Final = 8
"""Bytes that must have arrived after a part to check its Content-Length."""


class MjpegParser:
    """Accepts the bytes of a stream in pieces of any size, and returns each image as soon as its last byte has arrived.

    A Content-Length is trusted while what follows the part is another part or image. Cameras send wrong lengths or
    none, boundaries that differ from the announced one, and none at the beginning. Without a length, the end of an
    image is found by walking its segments, so that the end of a thumbnail inside is not mistaken for it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._trust_lengths = True
        # The last part, kept until it is known whether its Content-Length was right.
        self._unchecked = b""
        # Index up to which the first image of the buffer was searched for its end.
        self._walked = 0

    def feed(self, data: bytes) -> None:
        """Append bytes that the stream sent."""
        self._buffer += data

    def next(self) -> bytes | None:
        """Return the next complete part, or None until more bytes arrive. It may be damaged, or no image at all."""
        if self._unchecked:
            following = bytes(self._buffer[:_LOOKAHEAD])
            if len(following) < _LOOKAHEAD:
                return None
            if not _AFTER_PART.match(following):
                self._trust_lengths = False
                # The length was wrong: parse again what follows the image in this part.
                self._buffer[:0] = self._unchecked
                end = self._end_of_image()
                del self._buffer[: end if end and end < len(self._unchecked) else 0]
                self._walked = 0
            self._unchecked = b""
        body, length = self._header() if self._trust_lengths else (0, None)
        if length is None:
            body, end = 0, self._end_of_image()
        else:
            end = body + length
        if end is None or end > len(self._buffer):
            return None
        part = bytes(self._buffer[body:end])
        kind = _TYPE.search(bytes(self._buffer[:body]))
        del self._buffer[:end]
        self._unchecked = b"" if length is None else part
        self._walked = 0
        return self.next() if kind and kind[1].lower() != b"image" else part

    def _header(self) -> tuple[int, int | None]:
        """Return where the first part's body begins and its length in bytes; None if the header gives no length."""
        start = bytes(self._buffer[:_HEADER_MAX])
        image = start.find(_BEGIN)
        header = len(start) - len(start.lstrip(b"\r\n"))
        blank = _BLANK_LINE.search(start, header, len(start) if image < 0 else image)
        length = _LENGTH.search(start, header, blank.end()) if blank else None
        if not blank or not length or not 0 < int(length[1]) <= PART_MAX:
            return 0, None
        return blank.end(), int(length[1])

    def _end_of_image(self) -> int | None:
        """Drop the bytes before the next image; return the index after its last byte, None while that is missing."""
        if not self._buffer.startswith(_BEGIN):
            image = self._buffer.find(_BEGIN)
            if image < 0:
                # The bytes that are kept may contain the header of the next part.
                del self._buffer[:-_HEADER_MAX]
                return None
            del self._buffer[:image]
        if len(self._buffer) > PART_MAX:
            # No image is that long: skip it and look for the next one.
            del self._buffer[: len(_BEGIN)]
            self._walked = 0
            return None
        at = max(self._walked, 2)
        while marker := _MARKER.search(self._buffer, at):
            if marker[1][0] == _END:
                return marker.end()
            if marker[1][0] == _START:
                # The next image begins, so this one was cut off.
                return marker.start()
            length = int.from_bytes(self._buffer[marker.end() : marker.end() + 2], "big")
            if marker.end() + max(length, 2) > len(self._buffer):
                self._walked = marker.start()
                return None
            at = self._walked = marker.end() + max(length, 2)
        self._walked = max(at, len(self._buffer) - 1)
        return None
