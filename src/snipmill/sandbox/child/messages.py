"""The channel between a slot's server and a zygote: messages after their length, and descriptors that travel with them."""

from __future__ import annotations

import ctypes
import os
import struct

_AF_UNIX, _SOCK_STREAM = 1, 1
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


def read_message(descriptor: int) -> bytes | None:
    """Read the next message, which follows its length, and nothing beyond it; None at the end of the stream."""
    header = _read(descriptor, 4)
    return None if header is None else _read(descriptor, int.from_bytes(header, "big"))


def _read(descriptor: int, size: int) -> bytes | None:
    received = b""
    while len(received) < size:
        part = os.read(descriptor, size - len(received))
        if not part:
            return None
        received += part
    return received


def write_message(descriptor: int, body: bytes) -> None:
    """Write one message."""
    left = len(body).to_bytes(4, "big") + body
    while left:
        left = left[os.write(descriptor, left) :]


def socket_pair() -> tuple[int, int]:
    """Two connected ends over which messages and descriptors can be sent."""
    ends = (ctypes.c_int * 2)()
    if ctypes.CDLL(None, use_errno=True).socketpair(_AF_UNIX, _SOCK_STREAM, 0, ends) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"socketpair: {os.strerror(error)}")
    for end in ends:
        os.set_inheritable(end, False)
    return ends[0], ends[1]


def send_descriptors(descriptor: int, sent: Sequence[int]) -> None:
    """Send descriptors to the other end, which must receive as many."""
    import _socket  # not earlier: each zygote would inherit its memory, and pay for it at each fork

    end = _socket.socket(fileno=os.dup(descriptor))
    try:
        packed = struct.pack(f"{len(sent)}i", *sent)
        end.sendmsg([b"+"], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, packed)])
    finally:
        end.close()


def receive_descriptors(descriptor: int, count: int) -> tuple[int, ...]:
    """Receive descriptors that the other end sends."""
    import _socket

    end = _socket.socket(fileno=os.dup(descriptor))
    try:
        _, ancillary, *_ = end.recvmsg(1, _socket.CMSG_SPACE(4 * count))
    finally:
        end.close()
    if not ancillary:
        raise EOFError("no descriptors came")
    received: tuple[int, ...] = struct.unpack(f"{count}i", ancillary[0][2][: 4 * count])
    return received
