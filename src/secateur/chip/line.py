"""One connection to a board's server: a socket, and one that tells that it was cut or refused."""

import os

import zmq

# What is told of keys that the server does not know, and where only one of the two has keys.
REFUSED = (zmq.EVENT_HANDSHAKE_FAILED_AUTH, zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)

Socket = zmq.Socket[bytes]


def line(context: "zmq.Context[Socket]") -> tuple[Socket, Socket]:
    """A socket that is connected to nothing yet, and its monitor."""
    socket, monitor = context.socket(zmq.DEALER), context.socket(zmq.PAIR)
    socket.setsockopt(zmq.LINGER, 0)
    # Until a server is there; what was cut is left to the link.
    socket.setsockopt(zmq.RECONNECT_IVL, 100)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
    # A line may be cut again and again while nobody looks, and at a limit the thread that tells of
    # it, ZeroMQ's own, would stop for ever.
    monitor.setsockopt(zmq.RCVHWM, 0)
    address = f"inproc://secateur.{os.urandom(8).hex()}"
    socket.monitor(address, zmq.EVENT_DISCONNECTED | REFUSED[0] | REFUSED[1])
    monitor.connect(address)
    return socket, monitor


def close(process: int, socket: Socket, monitor: Socket) -> None:
    """In this order: an event for a monitor that is gone would stop ZeroMQ's own thread.

    Args:
        process: whose they are; in one that was forked from it they are left alone.
    """
    if os.getpid() == process:
        socket.disable_monitor()
        monitor.close(linger=0)
        socket.close(linger=0)
