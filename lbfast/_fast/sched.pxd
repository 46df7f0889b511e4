"""What a scheduler is: the structs and helpers that every `sched_*.pxd` works with.

A scheduler sees a service as `sched_t`: `list[0 .. ndest-1]` are the indices of its destinations
in `dests`, newest first.  It keeps what it needs behind `priv`.

A compiled scheduler from elsewhere needs this file and `types.pxd`, nothing else: it fills a
`sched_capsule_t` by `sched_export` and hands it over in a PyCapsule (docs/schedulers.md).
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from lbfast._fast.types cimport (
    DEST_AVAILABLE, DEST_OVERLOAD, NO_DEST, addr_t, be16, dest_t, pkt_t, sched_t, worker_t,
)

cdef enum:
    SCHED_ABI = 1                # grows when a field or a hook changes its meaning

cdef enum sched_event_t:         # why `change` is called
    DEST_ADDED = 0
    DEST_REMOVED = 1
    DEST_EDITED = 2

ctypedef struct flow_t:          # a connection, for schedulers that follow single ones
    addr_t caddr
    addr_t vaddr
    be16 cport
    be16 vport
    uint8_t protocol
    uint8_t is_v6
    uint16_t pad
    uint32_t fwmark              # of its service; 0: none

# `at` is the position in the list: of the new or the edited one, or where the removed one was;
# `dest` is its index.  The list is already changed.  No hook may block, or call into Python.
ctypedef struct sched_ops_t:
    const char *name
    bint (*start)(sched_t *s) noexcept nogil                     # False: no memory
    void (*stop)(sched_t *s) noexcept nogil                      # also after a start that failed
    bint (*change)(sched_t *s, uint32_t event, uint32_t at, uint32_t dest) noexcept nogil
    int (*pick)(sched_t *s, const pkt_t *p, worker_t *w) noexcept nogil   # dest index, NO_DEST
    void (*load)(sched_t *s, uint32_t dest) noexcept nogil       # its counts changed; may be NULL
    # a connection was made (else: ended); may be NULL
    void (*conn)(sched_t *s, uint32_t dest, const flow_t *f, bint made) noexcept nogil
    void *kind                   # lbfast's: set at registration

ctypedef struct sched_capsule_t:  # what a capsule of the name "lbfast.scheduler" points to
    uint32_t abi                 # SCHED_ABI
    uint32_t size                # of this struct
    uint32_t dest_size
    uint32_t sched_size
    uint32_t pkt_size
    uint32_t worker_size
    uint64_t layout              # where the fields are
    sched_ops_t ops


cdef inline uint64_t sched_layout() noexcept nogil:
    """Sum up where the fields lie that a scheduler may use: it differs when one was moved."""
    cdef dest_t *d = NULL
    cdef sched_t *s = NULL
    cdef pkt_t *p = NULL
    cdef worker_t *w = NULL
    cdef uint64_t x = <size_t>&d.addr
    x = x * 1021 + <size_t>&d.port
    x = x * 1021 + <size_t>&d.weight
    x = x * 1021 + <size_t>&d.flags
    x = x * 1021 + <size_t>&d.activeconns
    x = x * 1021 + <size_t>&d.inactconns
    x = x * 1021 + <size_t>&d.slot
    x = x * 1021 + <size_t>&d.order
    x = x * 1021 + <size_t>&s.list
    x = x * 1021 + <size_t>&s.dests
    x = x * 1021 + <size_t>&s.priv
    x = x * 1021 + <size_t>&p.saddr
    x = x * 1021 + <size_t>&p.daddr
    x = x * 1021 + <size_t>&p.sport
    x = x * 1021 + <size_t>&p.protocol
    x = x * 1021 + <size_t>&w.now_ns
    return x * 1021 + <size_t>&w.rng


cdef inline void sched_export(sched_capsule_t *c, const char *name) noexcept nogil:
    """Fill in what registration checks; the hooks in `ops` are the caller's, all NULL so far.

    name: at most 15 bytes, must stay where it is.
    """
    memset(c, 0, sizeof(sched_capsule_t))
    c.abi = SCHED_ABI
    c.size = sizeof(sched_capsule_t)
    c.dest_size = sizeof(dest_t)
    c.sched_size = sizeof(sched_t)
    c.pkt_size = sizeof(pkt_t)
    c.worker_size = sizeof(worker_t)
    c.layout = sched_layout()
    c.ops.name = name


cdef inline bint dest_usable(const dest_t *d) noexcept nogil:
    """Whether it may get new connections: neither quiesced nor overloaded."""
    return d.weight > 0 and not d.flags & DEST_OVERLOAD


cdef inline int64_t dest_overhead(const dest_t *d) noexcept nogil:
    """The load that lc and wlc compare: 256 * active + total (spec 5, 2026)."""
    return <int64_t>257 * d.activeconns + d.inactconns


cdef inline dest_t *dest_of(sched_t *s, uint32_t at) noexcept nogil:
    """Return the destination at a position of the list."""
    return &s.dests[s.list[at]]
