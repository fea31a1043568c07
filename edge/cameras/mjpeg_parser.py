"""JPEG images out of a motion JPEG stream over HTTP, whatever its multipart syntax is worth."""

import re
from typing import Final

PART_MAX: Final = 16 * 1024 * 1024
"""Bytes of one image; a stream that sends more without an end is not taken for images."""

_HEADER_MAX: Final = 8192
"""Bytes before an image in which the header of its part is looked for."""

_BEGIN: Final = b"\xff\xd8\xff"
_LENGTH: Final = re.compile(rb"^content-length[ \t]*:[ \t]*(\d{1,9})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_TYPE: Final = re.compile(rb"^content-type[ \t]*:[ \t]*([a-z]+)", re.IGNORECASE | re.MULTILINE)
_BLANK_LINE: Final = re.compile(rb"\r?\n\r?\n")
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""As in image_header: the next marker that has a length, or the end of the image."""
_START: Final = 0xD8
_END: Final = 0xD9
_AFTER_PART: Final = re.compile(rb"(?:\r?\n)*(?:--|\xff\xd8\xff)|(?:\r?\n)+$")
_LOOKAHEAD: Final = 8
"""Bytes after a part by which its length is checked."""


class MjpegParser:
    """Takes the bytes of a stream in any portions, and returns each image as soon as its last byte has arrived.

    A part's Content-Length is believed as long as another part, an image or nothing yet follows where it says; cameras
    send wrong ones, none, boundaries that differ from the announced one, and none at the beginning. Where there is no
    length the end of an image is found by walking its segments, so that a thumbnail inside does not end it.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._trust_lengths = True
        self._unchecked = b""  # the last part, while it is not known whether its length was right
        self._walked = 0  # how far the end of the image that begins the buffer was looked for

    def feed(self, data: bytes) -> None:
        """Add what the stream sent."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole part, or None where more bytes are needed. It may be damaged, or no image at all."""
        if self._unchecked:
            following = bytes(self._buffer[:_LOOKAHEAD])
            if len(following) < _LOOKAHEAD:
                return None
            if not _AFTER_PART.match(following):
                self._trust_lengths = False
                self._buffer[:0] = self._unchecked  # what follows the image in it is read once more
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
        """Where the body of the part begins, and its length; None where the header does not say it."""
        start = bytes(self._buffer[:_HEADER_MAX])
        image = start.find(_BEGIN)
        header = len(start) - len(start.lstrip(b"\r\n"))
        blank = _BLANK_LINE.search(start, header, len(start) if image < 0 else image)
        length = _LENGTH.search(start, header, blank.end()) if blank else None
        if not blank or not length or not 0 < int(length[1]) <= PART_MAX:
            return 0, None
        return blank.end(), int(length[1])

    def _end_of_image(self) -> int | None:
        """Drop what stands before the next image; the index after its last byte, None where that is not there yet."""
        if not self._buffer.startswith(_BEGIN):
            image = self._buffer.find(_BEGIN)
            if image < 0:
                del self._buffer[:-_HEADER_MAX]  # the header of the next part may be in it
                return None
            del self._buffer[:image]
        if len(self._buffer) > PART_MAX:  # an image has no such length: look for the next one
            del self._buffer[: len(_BEGIN)]
            self._walked = 0
            return None
        at = max(self._walked, 2)
        while marker := _MARKER.search(self._buffer, at):
            if marker[1][0] == _END:
                return marker.end()
            if marker[1][0] == _START:  # the next image: this one broke off
                return marker.start()
            length = int.from_bytes(self._buffer[marker.end() : marker.end() + 2], "big")
            if marker.end() + max(length, 2) > len(self._buffer):
                self._walked = marker.start()
                return None
            at = self._walked = marker.end() + max(length, 2)
        self._walked = max(at, len(self._buffer) - 1)
        return None
