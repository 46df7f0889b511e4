"""Packet rings (PACKET_MMAP, TPACKET_V2) and sendmmsg: one walk of a batch in, one batch out.

Why this version and this way of sending: docs/rings.md.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from libc.string cimport memcmp

from lbfast._fast.types cimport vnet_t

cdef extern from "errno.h" nogil:
    int errno
    enum:
        EAGAIN

cdef extern from "sys/socket.h" nogil:
    cdef struct iovec:
        void *iov_base
        size_t iov_len
    cdef struct msghdr:
        void *msg_name
        unsigned int msg_namelen
        iovec *msg_iov
        size_t msg_iovlen
        void *msg_control
        size_t msg_controllen
        int msg_flags
    cdef struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    enum:
        MSG_DONTWAIT
    int sendmmsg(int fd, mmsghdr *messages, unsigned int n, int flags)
    ssize_t recv(int fd, void *buf, size_t n, int flags)

cdef extern from "linux/if_packet.h" nogil:
    cdef struct tpacket2_hdr:
        uint32_t tp_status
        uint32_t tp_len
        uint32_t tp_snaplen
        uint16_t tp_mac
        uint16_t tp_net
        uint16_t tp_vlan_tci
        uint16_t tp_vlan_tpid
    enum:
        TP_STATUS_KERNEL
        TP_STATUS_USER
        TP_STATUS_COPY
        TP_STATUS_VLAN_VALID

cdef enum:
    BATCH = 64                  # frames of one walk, and messages of one sendmmsg
    SLOT = 2048                 # bytes of a ring slot; larger frames come through the copy queue
    SLOTS = 8192
    BIG = 65536 + 512           # room for one frame of the copy queue
    BIG_BATCH = 8               # frames of the copy queue in one walk: their buffers stay in cache
    VNET_LEN = 10
    MAX_STALE = 64              # reads for one frame of the copy queue

ctypedef struct frame_t:        # one received frame, valid until its batch is released
    uint8_t *data               # Ethernet header; HEADROOM bytes in front of it are ours
    uint32_t len
    uint32_t wire_len           # more than len: it was cut short
    uint16_t vlan_tci
    uint16_t vlan_tpid          # 0 = no tag was taken out
    vnet_t vnet

ctypedef struct rx_t:           # the ring of one interface
    int fd
    uint32_t ifindex
    uint8_t *ring
    uint32_t at                 # next slot to be read
    uint32_t held               # slots of the last batch
    uint32_t fetched            # frames of the last batch that came through the copy queue
    uint32_t tcp                # frames of the last batch that are TCP
    uint8_t *big                # BIG_BATCH buffers for frames of the copy queue
    uint64_t frames
    uint64_t cut                # frames that came in short

ctypedef struct tx_t:           # the transmit socket of one interface
    int fd
    uint32_t ifindex
    uint32_t n
    mmsghdr messages[BATCH]
    iovec vectors[BATCH]
    uint64_t frames
    uint64_t errors             # frames that the socket refused
    uint64_t retries
    bint clear_mac              # frames get the loopback's address, all zero


cdef extern from *:
    """
    static inline unsigned lb_load_acquire(const unsigned *p)
    { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
    static inline void lb_store_release(unsigned *p, unsigned v)
    { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
    """
    uint32_t lb_load_acquire(const uint32_t *p) noexcept nogil
    void lb_store_release(uint32_t *p, uint32_t v) noexcept nogil


cdef inline tpacket2_hdr *rx_slot(rx_t *rx, uint32_t i) noexcept nogil:
    return <tpacket2_hdr *>(rx.ring + <size_t>(i & (SLOTS - 1)) * SLOT)


cdef inline bint rx_ready(rx_t *rx) noexcept nogil:
    return (lb_load_acquire(&rx_slot(rx, rx.at).tp_status) & TP_STATUS_USER) != 0


cdef inline bint is_tcp(const uint8_t *frame) noexcept nogil:
    """Whether an untagged frame is TCP without extension headers; any slot is long enough."""
    if frame[12] == 0x08 and frame[13] == 0x00:
        return frame[23] == 6
    return frame[12] == 0x86 and frame[13] == 0xDD and frame[20] == 6


cdef inline uint32_t rx_batch(rx_t *rx, frame_t *out) noexcept nogil:
    """Read up to BATCH frames; they stay until rx_release."""
    cdef uint32_t n = 0
    cdef tpacket2_hdr *h
    cdef uint32_t status
    rx.fetched = rx.tcp = 0
    while n < BATCH:
        h = rx_slot(rx, rx.at + n)
        status = lb_load_acquire(&h.tp_status)
        if not status & TP_STATUS_USER:
            break
        out[n].data = <uint8_t *>h + h.tp_mac
        out[n].len = h.tp_snaplen
        out[n].wire_len = h.tp_len
        out[n].vlan_tpid = h.tp_vlan_tpid if status & TP_STATUS_VLAN_VALID else 0
        out[n].vlan_tci = h.tp_vlan_tci
        out[n].vnet = (<vnet_t *>(out[n].data - VNET_LEN))[0]
        rx.tcp += is_tcp(out[n].data)
        if status & TP_STATUS_COPY:
            rx_fetch_big(rx, &out[n], rx.fetched)
            rx.fetched += 1
        n += 1
        if rx.fetched == BIG_BATCH:
            break
    rx.held = n
    rx.frames += n
    return n


cdef inline void rx_fetch_big(rx_t *rx, frame_t *f, uint32_t n) noexcept nogil:
    """Read a frame that did not fit its slot from the copy queue.

    What lies in the queue before it (a pending error of the socket, a frame whose slot was lost)
    is passed over: the frame's beginning is in the slot and tells which one it is.
    """
    cdef uint8_t *at = rx.big + <size_t>n * BIG + 128
    cdef ssize_t got
    cdef uint32_t tries = 0
    while tries < MAX_STALE:
        tries += 1
        got = recv(rx.fd, at - VNET_LEN, BIG - 128 + VNET_LEN, MSG_DONTWAIT)
        if got < 0:
            if errno == EAGAIN:
                return
            continue
        if got == <ssize_t>f.wire_len + VNET_LEN and memcmp(at, f.data, f.len) == 0:
            f.data = at
            f.len = f.wire_len
            f.vnet = (<vnet_t *>(at - VNET_LEN))[0]
            return


cdef inline void rx_release(rx_t *rx) noexcept nogil:
    """Give the slots of the last batch back to the kernel."""
    cdef uint32_t i
    for i in range(rx.held):
        lb_store_release(&rx_slot(rx, rx.at + i).tp_status, TP_STATUS_KERNEL)
    rx.at += rx.held
    rx.held = 0
