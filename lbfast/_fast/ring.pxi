"""Sockets and memory of the rings, and sending a batch."""
import socket as _socket
import struct as _struct

from lbfast._fast.pace cimport NAP_MAX_US

cdef extern from "sys/socket.h" nogil:
    enum:
        SOL_SOCKET
        SO_ERROR
    int getsockopt(int fd, int level, int name, void *value, unsigned int *size)

cdef extern from "errno.h" nogil:
    enum:
        ENOBUFS
        EINTR

cdef extern from "poll.h" nogil:
    cdef struct pollfd:
        int fd
        short events
        short revents
    enum:
        POLLIN
        POLLOUT
        POLLERR
    int poll(pollfd *fds, unsigned long n, int timeout_ms)

SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
PACKET_RX_RING = 5
PACKET_STATISTICS = 6
PACKET_COPY_THRESH = 7
PACKET_VERSION = 10
PACKET_RESERVE = 12
PACKET_VNET_HDR = 15
PACKET_FANOUT = 18
PACKET_FANOUT_DATA = 22
PACKET_IGNORE_OUTGOING = 23
TPACKET_V2 = 1
ETH_P_ALL = 3
SO_ATTACH_FILTER = 26
SO_SNDBUFFORCE = 32
SO_RCVBUFFORCE = 33
BLOCK = 1 << 16
TX_BUFFER = 64 << 20
RX_BUFFER = 32 << 20
MAX_RETRIES = 1000
RX_USECS = NAP_MAX_US

ctypedef struct rings_t:        # the sockets of one worker
    uint32_t nrx
    uint32_t ntx
    rx_t rx[MAX_LINKS]
    tx_t tx[MAX_LINKS * 4]      # by out_t.kind, then by interface
    int wake_fd                 # eventfd that ends a wait
    uint32_t nap_max_us         # longest sleep by the clock (pace.pxd), 0 = none


# ---------------------------------------------------------------- sending

cdef inline void tx_push(tx_t *tx, uint8_t *data, uint32_t length, const vnet_t *v) noexcept nogil:
    """Queue a frame; its virtio-net header is written right in front of it."""
    if tx.n == BATCH:
        tx_flush(tx)
    if LB_UNLIKELY(tx.clear_mac):
        memset(data, 0, 6)
    (<vnet_t *>(data - VNET_LEN))[0] = v[0]
    tx.vectors[tx.n].iov_base = data - VNET_LEN
    tx.vectors[tx.n].iov_len = length + VNET_LEN
    tx.n += 1


cdef void tx_flush(tx_t *tx) noexcept nogil:
    """Send what is queued.  A full socket is waited for, a bounded time; a frame that the socket
    refuses for itself is counted and left out."""
    cdef uint32_t i = 0, tries = 0
    cdef int sent
    cdef pollfd f
    while i < tx.n:
        sent = sendmmsg(tx.fd, &tx.messages[i], tx.n - i, MSG_DONTWAIT)
        if sent > 0:
            i += <uint32_t>sent
            tx.frames += <uint32_t>sent
        elif (errno == EAGAIN or errno == ENOBUFS) and tries < MAX_TRIES:
            tries += 1
            tx.retries += 1
            f.fd = tx.fd
            f.events = POLLOUT
            poll(&f, 1, 1)
        elif errno != EINTR:
            tx.errors += 1
            i += 1
    tx.n = 0

cdef enum:
    MAX_TRIES = 100


cdef void socket_error_clear(int fd) noexcept nogil:
    """Take note of a pending error (the interface went down), or poll would return for ever."""
    cdef int value
    cdef unsigned int size = sizeof(value)
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &size)


cdef void tx_prepare(tx_t *tx, int fd, uint32_t ifindex) noexcept nogil:
    cdef uint32_t i
    memset(tx, 0, sizeof(tx_t))
    tx.fd = fd
    tx.ifindex = ifindex
    for i in range(BATCH):
        tx.messages[i].msg_hdr.msg_iov = &tx.vectors[i]
        tx.messages[i].msg_hdr.msg_iovlen = 1


# ---------------------------------------------------------------- sockets

def _option(sock, int option, value, str doing):
    """Set a socket option of SOL_PACKET; OSError says what was being done."""
    try:
        sock.setsockopt(SOL_PACKET, option, value)
    except OSError as e:
        raise OSError(e.errno, f"{doing}: {e.strerror}") from None


def _packet_socket(str what):
    try:
        return _socket.socket(_socket.AF_PACKET, _socket.SOCK_RAW | _socket.SOCK_CLOEXEC, 0)
    except PermissionError:
        raise OSError(
            _errno.EPERM, "packet sockets need root, that is the capability CAP_NET_RAW"
        ) from None


def _filter_option(list program):
    """A classic BPF program, (code, jt, jf, k) each, as struct sock_fprog and its array."""
    code = b"".join(_struct.pack("=HBBI", *row) for row in program)
    buffer = bytearray(code)
    cdef unsigned char[::1] view = buffer
    return _struct.pack("@HP", len(program), <uintptr_t>&view[0]), buffer


def _receive_socket(str name, list program, tuple fanout):
    """A socket with its ring, bound to the interface last, so that nothing comes in before."""
    sock = _packet_socket(name)
    try:
        _option(sock, PACKET_VERSION, TPACKET_V2, f"{name}: choosing the ring version")
        _option(sock, PACKET_VNET_HDR, 1, f"{name}: asking for offload headers")
        _option(sock, PACKET_RESERVE, HEADROOM, f"{name}: reserving headroom")
        _option(sock, PACKET_COPY_THRESH, 1, f"{name}: asking for large frames")
        _option(sock, PACKET_IGNORE_OUTGOING, 1, f"{name}: leaving out outgoing frames")
        sock.setsockopt(_socket.SOL_SOCKET, SO_RCVBUFFORCE, RX_BUFFER)
        ring = _struct.pack("=IIII", BLOCK, SLOT * SLOTS // BLOCK, SLOT, SLOTS)
        _option(sock, PACKET_RX_RING, ring, f"{name}: making the receive ring")
        if program:
            option, _keep = _filter_option(program)
            sock.setsockopt(_socket.SOL_SOCKET, SO_ATTACH_FILTER, option)
        sock.bind((name, ETH_P_ALL))
        if fanout is not None:
            _option(sock, PACKET_FANOUT, fanout[0], f"{name}: joining the fanout group")
            if fanout[1] >= 0:
                _option(sock, PACKET_FANOUT_DATA, fanout[1], f"{name}: spreading by a program")
        return sock
    except OSError as e:
        sock.close()
        if name in str(e):
            raise
        raise OSError(e.errno, f"{name}: {e.strerror}") from None


def _send_socket(str name, int mark):
    sock = _packet_socket(name)
    try:
        _option(sock, PACKET_VNET_HDR, 1, f"{name}: asking for offload headers")
        sock.setsockopt(_socket.SOL_SOCKET, SO_SNDBUFFORCE, TX_BUFFER)
        if mark:
            sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_MARK, mark)
        sock.bind((name, 0))
        return sock
    except OSError as e:
        sock.close()
        if name in str(e):
            raise
        raise OSError(e.errno, f"{name}: {e.strerror}") from None


cdef class Rings:
    """The packet sockets of one worker: for each interface a ring, a way out, a way back to the
    host.

    interfaces: (name, ifindex) each.  program: classic BPF of the receiving sockets.  host,
    onward, wrap: {ifindex: (name, mark, clear_mac)}: on which interface and with which SO_MARK is
    transmitted what came in on ifindex and goes back to the host, what the host was sending there,
    and tunnelled super-frames that are to leave there; clear_mac: to the loopback's address.
    fanout: None with one worker, else (the option's value, descriptor of the group's program or
    -1); workers open their rings in their order.  rx_usecs: longest sleep by the clock while many
    frames come (docs/rings.md), 0 = none.
    """

    cdef rings_t r
    cdef readonly list interfaces
    cdef list sockets
    cdef dict dropped             # by interface, as PACKET_STATISTICS forgets when it is read

    def __cinit__(
        self, list interfaces, list program, dict host, dict onward=None, dict wrap=None,
        tuple fanout=None, int rx_usecs=RX_USECS
    ):
        memset(&self.r, 0, sizeof(rings_t))
        self.r.nap_max_us = rx_usecs
        self.r.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        self.interfaces = list(interfaces)
        self.sockets = []
        self.dropped = {}
        if len(interfaces) > MAX_LINKS:
            raise OSError(_errno.ENOSPC, f"more than {MAX_LINKS} interfaces")
        for name, ifindex in interfaces:
            self.open_receive(name, ifindex, program, fanout)
            self.open_send(name, ifindex, 0)
        for ways in (host, onward or {}, wrap or {}):        # in the order of OUT_*
            for name, ifindex in interfaces:
                out, mark, clear_mac = ways.get(ifindex, (name, 0, False))
                self.open_send(out, ifindex, mark)
                self.r.tx[self.r.ntx - 1].clear_mac = clear_mac

    cdef object open_receive(self, str name, uint32_t ifindex, list program, tuple fanout):
        cdef rx_t *rx = &self.r.rx[self.r.nrx]
        cdef void *ring
        if fanout is not None:       # a group belongs to one interface
            option = fanout[0]
            fanout = ((option & ~0xFFFF) | ((option + ifindex) & 0xFFFF), fanout[1])
        sock = _receive_socket(name, program, fanout)
        self.sockets.append(sock)
        ring = mmap(
            NULL, <size_t>SLOT * SLOTS, PROT_READ | PROT_WRITE, MAP_SHARED, sock.fileno(), 0
        )
        if ring == MAP_FAILED:
            raise MemoryError(f"{name}: cannot map the receive ring")
        rx.ring = <uint8_t *>ring
        rx.fd = sock.fileno()
        rx.ifindex = ifindex
        rx.big = <uint8_t *>malloc(<size_t>BIG_BATCH * BIG)
        self.r.nrx += 1
        if rx.big == NULL:
            raise MemoryError

    cdef object open_send(self, str name, uint32_t ifindex, int mark):
        sock = _send_socket(name, mark)
        self.sockets.append(sock)
        tx_prepare(&self.r.tx[self.r.ntx], sock.fileno(), ifindex)
        self.r.ntx += 1

    def wake(self):
        """End a wait of the worker."""
        eventfd_write(self.r.wake_fd, 1)

    def reflect(self, double seconds):
        """The yardstick: let frames of either of the two interfaces leave by the other."""
        cdef uint64_t until = monotonic_ns() + <uint64_t>(seconds * 1e9)
        if self.r.nrx != 2:
            raise ValueError("a reflector has two interfaces")
        with nogil:
            reflect(&self.r, until)

    def stats(self):
        """Return {interface: (received, dropped by the kernel, cut short, sent, refused)}."""
        cdef uint32_t i
        rows = {}
        for i in range(self.r.nrx):
            name = self.interfaces[i][0]
            sock = self.sockets[2 * i]
            _, drops = _struct.unpack("=II", sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
            self.dropped[name] = self.dropped.get(name, 0) + drops
            rows[name] = (
                self.r.rx[i].frames, self.dropped[name], self.r.rx[i].cut,
                sum([self.r.tx[k].frames for k in range(i, self.r.ntx, self.r.nrx)]),
                sum([self.r.tx[k].errors for k in range(i, self.r.ntx, self.r.nrx)]),
            )
        return rows

    def close(self):
        """Unmap and close everything; the worker must have stopped."""
        cdef uint32_t i
        for i in range(self.r.nrx):
            munmap(self.r.rx[i].ring, <size_t>SLOT * SLOTS)
            free(self.r.rx[i].big)
        self.r.nrx = self.r.ntx = 0
        for sock in self.sockets:
            sock.close()
        self.sockets = []
        if self.r.wake_fd >= 0:
            close(self.r.wake_fd)
            self.r.wake_fd = -1

    def __dealloc__(self):
        self.close()
