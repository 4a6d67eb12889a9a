"""Which cameras there are: a kernel's list on disk, and a driver that answers as V4L2 does."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import pytest

from sender import devices as module
from sender.capture import SourceError, open_source
from sender.devices import PROBED, Camera, CameraError, find_camera, linux_cameras, listing, probed_cameras
from sender.video4linux import Mode, captures, has_virtual_driver, modes
from shared.audio.devices import SoundDeviceError

CAMERAS = [Camera(0, "Integrated Webcam: HD"), Camera(2, "Desk Cam"), Camera(4, "Desk Cam Pro")]


@pytest.mark.parametrize(
    ("text", "number"),
    [("0", 0), ("2", 2), ("7", 7), ("integrated", 0), ("Desk Cam", 2), ("desk cam PRO", 4), ("pro", 4)],
)
def test_a_number_or_a_part_of_a_name_finds_a_camera(text: str, number: int) -> None:
    assert find_camera(text, CAMERAS).number == number


@pytest.mark.parametrize(
    ("text", "known", "message"),
    [
        ("desk", CAMERAS, r"more than one camera \(camera 2 \(Desk Cam\), camera 4"),
        ("front", CAMERAS, r"names no camera \(camera 0 \(Integrated"),
        ("front", [], "there is no camera"),
        ("", CAMERAS, "names no camera"),
        ("-1", CAMERAS, "names no camera"),
    ],
)
def test_a_name_that_means_none_or_several_is_refused(text: str, known: list[Camera], message: str) -> None:
    with pytest.raises(CameraError, match=message):
        find_camera(text, known)


def test_a_source_may_name_a_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    from sender import capture

    opened: list[tuple[int, str]] = []

    def refuse(number: int, name: str) -> None:
        opened.append((number, name))
        raise CameraError("not today")

    monkeypatch.setattr(capture, "cameras", lambda: CAMERAS)
    monkeypatch.setattr(capture, "open_camera", refuse)
    with pytest.raises(SourceError, match="not today"):
        open_source("camera:pro")
    assert opened == [(4, "camera 4 (Desk Cam Pro)")]


def test_the_kernels_list_is_read_in_order(tmp_path: Path) -> None:
    for name, index, title in (("video10", "0", "Second"), ("video2", "0", "First"), ("video3", "1", "First")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "name").write_text(title + "\n")
        (tmp_path / name / "index").write_text(index + "\n")
    found = linux_cameras(tmp_path, tmp_path / "nodes")  # no node may be opened: metadata goes by its index
    assert found == [Camera(2, "First"), Camera(10, "Second")]
    assert linux_cameras(tmp_path / "missing") == []


def test_a_device_without_hardware_is_virtual(tmp_path: Path) -> None:
    for name, bus in (("video0", "pci0000:00/usb1"), ("video1", "virtual")):
        place = tmp_path / "devices" / bus / "video4linux" / name
        place.mkdir(parents=True)
        (tmp_path / "class").mkdir(exist_ok=True)
        (tmp_path / "class" / name).symlink_to(place)  # as the kernel's list has it
        (place / "name").write_text("Integrated Webcam\n")  # what it calls itself is its owner's choice
    found = linux_cameras(tmp_path / "class", tmp_path / "nodes")
    assert [each.virtual for each in found] == [False, True]
    assert ["virtual camera" in line for line in listing(found).splitlines()[1:3]] == [False, True]


@pytest.mark.parametrize(
    ("driver", "virtual"),
    [(b"v4l2 loopback", True), (b"v4l2loopback-dc", True), (b"vivid", True), (b"uvcvideo", False), (b"", False)],
)
def test_a_driver_that_passes_on_pictures_is_virtual(driver: bytes, virtual: bool) -> None:
    assert has_virtual_driver(Driver(name=driver)) is virtual
    assert not has_virtual_driver(lambda request, answer: False)


def test_a_source_knows_that_its_camera_is_virtual(monkeypatch: pytest.MonkeyPatch) -> None:
    from sender import capture

    class Device:
        def get(self, propId: int) -> float:
            return 25.0

        def read(self) -> tuple[bool, None]:
            return False, None

        def release(self) -> None:
            pass

    monkeypatch.setattr(capture, "cameras", lambda: [Camera(0, "Desk"), Camera(1, "Desk", virtual=True)])
    monkeypatch.setattr(capture, "open_camera", lambda number, name: Device())
    kinds = []
    for number in (0, 1):
        with open_source(f"camera:{number}") as opened:
            kinds.append((opened.kind, opened.source_kind))
    assert kinds == [("camera", "camera"), ("camera", "virtual")]  # it keeps a camera's clock


class Driver:
    """Answers as a webcam: MJPG at two sizes with two rates, YUYV at any size, without end."""

    def __init__(self, capabilities: int = 0x85200001, own: int = 0x04200001, name: bytes = b"uvcvideo") -> None:
        self._capabilities, self._own, self._name = capabilities, own, name

    def __call__(self, request: int, answer: bytearray) -> bool:
        assert len(answer) == request >> 16 & 0x3FFF  # the length is a part of the number
        index = struct.unpack_from("=I", answer)[0]
        match request & 0xFF:
            case 0:
                struct.pack_into("16s", answer, 0, self._name)
                struct.pack_into("=II", answer, 84, self._capabilities, self._own)
                return True
            case 2 if index < 2:
                answer[44:48] = (b"MJPG", b"YUYV")[index]
                return True
            case 74 if answer[4:8] == b"MJPG" and index < 2:
                struct.pack_into("=III", answer, 8, 1, *((640, 480), (1280, 720))[index])
                return True
            case 74 if answer[4:8] == b"YUYV":
                struct.pack_into("=7I", answer, 8, 3, 160, 800, 16, 120, 600, 16)
                return True
            case 75 if index < 2:
                struct.pack_into("=III", answer, 16, 1, *((1, 15), (1001, 30000))[index])
                return True
        return False


def test_a_driver_is_asked_for_all_it_offers() -> None:
    assert list(modes(Driver())) == [
        Mode("MJPG", 640, 480, (29.97, 15)), Mode("MJPG", 1280, 720, (29.97, 15)), Mode("YUYV", 640, 480, (29.97, 15)),
    ]  # fmt: skip


def test_a_node_for_metadata_is_no_camera() -> None:
    assert captures(Driver())
    assert not captures(Driver(own=0x04A00000))  # of the whole device pictures come, from this node they do not
    assert captures(Driver(capabilities=0x1))
    assert not captures(lambda request, answer: False)


def test_elsewhere_numbers_are_tried() -> None:
    released = []

    class Device:
        def __init__(self, number: int) -> None:
            self.number = number

        def isOpened(self) -> bool:
            return self.number in (0, 3)

        def get(self, propId: int) -> float:
            return {cv2.CAP_PROP_FRAME_WIDTH: 640.0, cv2.CAP_PROP_FRAME_HEIGHT: 480.0}.get(propId, 0.0)

        def release(self) -> None:
            released.append(self.number)

    assert probed_cameras(Device) == [Camera(n, "", (Mode("", 640, 480, ()),)) for n in (0, 3)]  # type: ignore[arg-type]
    assert released == list(range(PROBED))


@pytest.mark.parametrize("available", [True, False])
def test_the_list_says_what_to_write(available: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "names", lambda kind: [(3, "Headset")])
    monkeypatch.setattr("shared.audio.echo.available", lambda: available)
    text = listing([Camera(0, "Desk", (Mode("MJPG", 640, 480, (30, 15)),))])
    *devices, echo = text.splitlines()
    assert ("headphones" in echo) != available
    assert devices == [
        "cameras (--source camera:N or camera:NAME)", "  0  Desk", "       MJPG 640x480 at 30, 15 fps",
        "microphones (--microphone N or NAME)", "  3  Headset", "echo cancellation",
    ]  # fmt: skip


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(kind: str) -> None:
        raise SoundDeviceError("sounddevice is not installed")

    monkeypatch.setattr(module, "names", missing)
    text = listing([])
    assert "none found; a video file" in text
    assert "sounddevice is not installed" in text
