"""The window that shows the reconstructed person, with keys and how the call is doing.

And what is always written on the picture: that it is drawn, what from, and whether the face was changed in the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from shared.desktop import DisplayError, Image, fitting, require_display, text_width, write
from shared.reactions import LABELS
from shared.signalling.hello import SourceKind

MARK = "reconstructed"
"""Always on the picture: what is shown is synthetic."""
STATUS_HEIGHT = 22
SMALLEST_WIDTH = 512
"""Pixels; a smaller picture is enlarged so that the status line fits."""
CAMERA_KEY, WORDS_KEY = "c  own camera off", "v  the words are the same at the other end"
REACTION_KEYS = tuple(
    f"{keys}  react: {', '.join(labels)}" for keys, labels in (("1 2 3", LABELS[:3]), ("4 5 6", LABELS[3:]))
)
HELP = (
    "h  this list", "m  mute", CAMERA_KEY, "s  hold the picture still", "f  full screen", WORDS_KEY, *REACTION_KEYS,
    "q  end the call",
)  # fmt: skip
HINT = "h: keys"
_MARGIN = 8
_LINE, _BANNER_LINE = 24, 20
_OWN_SHARE = 0.22
_MARK_SCALE, _STATUS_SCALE, _HELP_SCALE, _BANNER_SCALE = 0.45, 0.38, 0.55, 0.5
_BANNER_COLOUR = (255, 210, 60)
_FROM: dict[SourceKind, str] = {
    "file": " from a file, not a camera",
    "sample": " from a sample, not a camera",
    "virtual": " from a virtual camera, not a real one",
}


@dataclass
class Controls:
    """What the user switched on in the window. `press` takes keys; nothing is drawn here."""

    muted: bool = False
    still: bool = False
    camera_off: bool = False
    full_screen: bool = False
    help: bool = False
    compared: bool = False
    """The words were compared."""
    ended: bool = False
    reaction: int | None = None
    """The number of an expression to perform, 1 to 6."""

    def press(self, key: int) -> None:
        """Takes a key as `cv2.waitKey` gives it, -1 for none. Escape leaves full screen, else ends the call."""
        if key < 0:
            return
        match chr(key & 0xFF).lower():
            case "h":
                self.help = not self.help
            case "m":
                self.muted = not self.muted
            case "c":
                self.camera_off = not self.camera_off
            case "s":
                self.still = not self.still
            case "f":
                self.full_screen = not self.full_screen
            case "v":
                self.compared = True
            case digit if digit in "123456":
                self.reaction = int(digit)
            case "q":
                self.ended = True
            case "\x1b" if self.full_screen:
                self.full_screen = False
            case "\x1b":
                self.ended = True

    def notes(self) -> str:
        """What is not as usual, to go beside the mark."""
        states = (("still", self.still), ("muted", self.muted), ("camera off", self.camera_off))
        return ", ".join(name for name, on in states if on)


class CallWindow:
    """A window of this desktop. All calls from one thread, the main one on macOS."""

    def __init__(self, mark: str = MARK, title: str = "Pinhole") -> None:
        """`mark` stays on the picture. Raises DisplayError if there is no desktop to open a window on."""
        require_display(os.environ)
        self.controls = Controls()
        self.on_mute: Callable[[bool], None] | None = None
        """Called when the user mutes the sound, or wants it back; without it there is none to mute."""
        self.on_camera_off: Callable[[bool], None] | None = None
        """Called when the user turns the own camera off, or on again; without it there is none."""
        self.own_view: Callable[[], Image | None] = lambda: None
        """Gives this side's own picture, square, for a corner of the window."""
        self.on_reaction: Callable[[int], None] | None = None
        """Called when the user wants to be shown with an expression, 1 to 6; without it there is nobody to show."""
        self.own_note: Callable[[], str] = str
        """Gives a line on this side's own reaction, which goes below the banner; nothing: none."""
        self.banner: Callable[[], Sequence[str]] = tuple
        """Lines below the mark, asked for at every picture: words to compare, and what is wrong with who is there."""
        self.on_compared: Callable[[], None] | None = None
        """Called when the user says that the words of the call are the same on both sides."""
        self.mark = mark
        """On every picture."""
        self.touched = False
        """Whether a key was pressed since the canvas on display was composed."""
        self._title = title
        self._held: Image | None = None
        self._open = False

    def show(self, rgb: Image, status: str) -> bool:
        """Draw an (H, W, 3) uint8 RGB picture over a status line; False once the user pressed q or closed it.

        Raises DisplayError if this OpenCV was built without windows.
        """
        return self.put(self.composed(rgb, status))

    def composed(self, rgb: Image, status: str) -> Image:
        """The canvas for a picture. It takes some milliseconds, and may be made in another thread, one at a time."""
        controls = self.controls
        self.touched = False
        self._held = (rgb if self._held is None else self._held) if controls.still else None
        picture = rgb if self._held is None else self._held
        notes = controls.notes()
        mark = f"{self.mark}, {notes}" if notes else self.mark
        banner = [*self.banner(), *filter(None, [self.own_note()])]
        return compose(picture, status, mark, self._keys() if controls.help else (), banner, self.own_view())

    def pump(self) -> bool:
        """Handles keys and what the desktop asks of the window, and composes nothing; False as for `show`."""
        if self._open:
            if cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            self._press(cv2.waitKey(1))
        return not self.controls.ended

    def put(self, canvas: Image) -> bool:
        """Puts a canvas on display; False as for `show`. Raises DisplayError as it does."""
        controls = self.controls
        try:
            if self._open and cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
                return False
            if not self._open:
                cv2.namedWindow(self._title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
                cv2.resizeWindow(self._title, canvas.shape[1], canvas.shape[0])
            cv2.imshow(self._title, cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
            self._open = True
            self._press(cv2.waitKey(1))
        except cv2.error as error:
            raise DisplayError(
                "OpenCV cannot open a window here; install opencv-python (not headless) or record to a file."
            ) from error
        return not controls.ended

    def _keys(self) -> list[str]:
        """Those that do something in this call."""
        without = [(CAMERA_KEY, self.on_camera_off), (WORDS_KEY, self.on_compared)]
        without += [(line, self.on_reaction) for line in REACTION_KEYS]
        return [line for line in HELP if (line, None) not in without]

    def close(self) -> None:
        """Take the window away."""
        if self._open:
            self._open = False
            cv2.destroyWindow(self._title)
            cv2.waitKey(1)  # Qt closes only when events are handled

    def _press(self, key: int) -> None:
        controls = self.controls
        muted, camera_off, full = controls.muted, controls.camera_off, controls.full_screen
        controls.press(key)
        self.touched |= key >= 0
        if controls.compared and self.on_compared is not None:
            self.on_compared()
        controls.compared = False
        if controls.reaction is not None and self.on_reaction is not None:
            self.on_reaction(controls.reaction)
        controls.reaction = None
        if self.on_mute is None:
            controls.muted = False
        elif controls.muted != muted:
            self.on_mute(controls.muted)
        if self.on_camera_off is None:
            controls.camera_off = False
        elif controls.camera_off != camera_off:
            self.on_camera_off(controls.camera_off)
        if controls.full_screen != full:
            mode = cv2.WINDOW_NORMAL if full else cv2.WINDOW_FULLSCREEN
            cv2.setWindowProperty(self._title, cv2.WND_PROP_FULLSCREEN, mode)


def compose(
    rgb: Image,
    status: str,
    mark: str = MARK,
    lines: Sequence[str] = (),
    banner: Sequence[str] = (),
    own: Image | None = None,
) -> Image:
    """The picture, enlarged to at least 512 pixels' width, with mark and status line: (H', W', 3) uint8 RGB.

    `lines` are drawn over the darkened picture, `banner` below the mark; `own`, a square picture of this side, goes
    into a corner.
    """
    height, width = rgb.shape[:2]
    scale = max(1.0, SMALLEST_WIDTH / width)
    picture = cv2.resize(rgb, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
    canvas = np.zeros((picture.shape[0] + STATUS_HEIGHT, picture.shape[1], 3), np.uint8)
    canvas[: picture.shape[0]] = picture // 3 if lines else picture
    for number, line in enumerate(lines):
        write(canvas, line, (4 * _MARGIN, 3 * _LINE + number * _LINE), _HELP_SCALE)
    if own is not None:
        _inset(canvas[: picture.shape[0]], own)
    draw_mark(canvas, mark)
    for number, line in enumerate(banner):
        scale = fitting(line, _BANNER_SCALE, canvas.shape[1] - 2 * _MARGIN)
        write(canvas, line, (_MARGIN, 38 + number * _BANNER_LINE), scale, _BANNER_COLOUR)
    bottom = canvas.shape[0] - 7
    room = canvas.shape[1] - 3 * _MARGIN - text_width(HINT, _STATUS_SCALE)
    write(canvas, status, (_MARGIN, bottom), fitting(status, _STATUS_SCALE, room), (200, 200, 200))
    write(canvas, HINT, (room + 2 * _MARGIN, bottom), _STATUS_SCALE, (140, 140, 140))
    return canvas


def _inset(canvas: Image, own: Image) -> None:
    """Puts a picture of this side, with a border, into the lower right corner, in place."""
    height, width = canvas.shape[:2]
    side = round(_OWN_SHARE * min(height, width))
    top, left = height - side - _MARGIN, width - side - _MARGIN
    canvas[top - 2 : top + side + 2, left - 2 : left + side + 2] = 255
    canvas[top : top + side, left : left + side] = cv2.resize(own, (side, side), interpolation=cv2.INTER_AREA)


def draw_mark(canvas: Image, mark: str = MARK) -> None:
    """Writes the mark into the top left corner of a picture, in place."""
    write(canvas, mark, (_MARGIN, 18), fitting(mark, _MARK_SCALE, canvas.shape[1] - 2 * _MARGIN))


def origin(kind: SourceKind) -> str:
    """What follows the word for a drawn picture: where it comes from; nothing for a camera."""
    return _FROM.get(kind, "")


def mark(kind: SourceKind, changed: float | None = None) -> str:
    """The mark of a call whose pictures come from `kind`; `changed`: seconds into the call when the face changed."""
    always = MARK + origin(kind)
    return always if changed is None else f"{always}; {face_changed(changed)}"


def announcement(kind: SourceKind) -> str:
    """The same for the line that says a call is on; empty for a camera."""
    return f" ({origin(kind).strip()})" if origin(kind) else ""


def face_changed(seconds: float) -> str:
    """That the face changed so many seconds into the call."""
    minutes, rest = divmod(round(seconds), 60)
    return f"FACE CHANGED {minutes}:{rest:02d} into the call"
