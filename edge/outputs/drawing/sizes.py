"""Sizes of text, lines and margins that are drawn on a frame, derived from the frame's own size."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of drawn text and margins, in pixels.

    With one face in view its word is up to a sixteenth of the frame's height: on a Raspberry Pi's 7-inch display, 86 mm
    high, that is 5.4 mm, which from two metres is 9 minutes of arc, where normal sight reads 5 (ISO 8596). All other
    text, a 29th of the height, is at that limit.

    Attributes:
        word: largest height of capitals in an emotion's word.
        text: height of capitals in all other text.
        space: the unit of margins.
    """

    word: int
    text: int
    space: int

    @classmethod
    def of(cls, width: int, height: int, faces: int = 1) -> "Sizes":
        """Return the sizes for a frame of width x height pixels. faces: number in view; more make words smaller."""
        room = min(height, width * 0.75)
        share = 16 if faces < 2 else 20 if faces < 4 else 26
        return cls(max(8, round(room / share)), max(7, round(room / 29)), max(3, round(room / 60)))

    @property
    def stroke(self) -> int:
        """Line width of a face's box, in pixels."""
        return max(2, round(self.space / 2))
