"""A look through a file of ONNX before anything else reads it: without the package onnx, which segmenting lacks.

ONNX is a protocol buffer (https://protobuf.dev/programming-guides/encoding): fields, each with its number, how it is
written, and its content. Only the way down to the tensors is followed.
"""

from __future__ import annotations

from collections.abc import Iterator

#: More than this no protocol buffer holds.
MOST_BYTES = 2_000_000_000
_MOST_FIELDS = 5_000_000

#: The fields of each message of onnx.proto that lead to a tensor, by their numbers.
_WAY: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
_MODEL_GRAPH = 7
#: Of a tensor: where its numbers are, and whether they are there (1) or here (0).
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14


def check_onnx(content: bytes) -> None:
    """Refuse what CardiacSeg never writes.

    Raises:
        ValueError: where it is no ONNX, or where a tensor's numbers are to be read from another file: OpenVINO takes
            those from wherever the program happens to run.
    """
    if len(content) > MOST_BYTES:
        raise ValueError(f"{len(content) / 1e9:.1f} GB are no network")
    view, found, seen = memoryview(content), False, 0
    waiting = [("model", 0, len(content))]
    while waiting:
        kind, start, end = waiting.pop()
        for number, first, last in _fields(view, start, end):
            seen += 1
            if seen > _MOST_FIELDS:
                raise ValueError("no network has so many parts")
            if kind == "tensor" and _is_elsewhere(view, number, first, last):
                raise ValueError("it takes numbers from another file")
            found = found or (kind == "model" and number == _MODEL_GRAPH)
            if number in _WAY[kind]:
                waiting.append((_WAY[kind][number], first, last))
    if not found:
        raise ValueError("no network as ONNX")


def _is_elsewhere(view: memoryview, number: int, first: int, last: int) -> bool:
    """Whether this field of a tensor says that its numbers are not in the file."""
    return number == _EXTERNAL_DATA or (number == _DATA_LOCATION and _number(view, first, last)[0] != 0)


def _fields(view: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of the message that lies between two places."""
    while start < end:
        key, start = _number(view, start, end)
        written = key & 7
        if written == 0:
            first, (_, start) = start, _number(view, start, end)
        elif written in (1, 5):
            first, start = start, start + (8 if written == 1 else 4)
        elif written == 2:
            size, first = _number(view, start, end)
            start = first + size
        else:
            raise ValueError("no network as ONNX")
        if start > end:
            raise ValueError("the network breaks off")
        yield key >> 3, first, start


def _number(view: memoryview, start: int, end: int) -> tuple[int, int]:
    """A number of up to ten bytes of seven bits each, the lowest first, and where it ends."""
    value = 0
    for place in range(start, min(end, start + 10)):
        value |= (view[place] & 0x7F) << (7 * (place - start))
        if view[place] < 0x80:
            return value, place + 1
    raise ValueError("the network breaks off")
