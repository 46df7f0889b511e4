"""Single functions of the data path, with what surrounds them replaced: bytes in, bytes out.

Every buffer is an allocation of its own and just big enough, so that AddressSanitizer sees a step
over its end.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy, memset

from lbfast._fast.addr cimport addr_fold
from lbfast._fast.csum cimport *
from lbfast._fast.map cimport addr_eq, map_hash
from lbfast._fast.pace cimport came_t, pace_next, pace_reset, pace_t
from lbfast._fast.parse cimport is_extension, parse
from lbfast._fast.types cimport *
from lbfast._fast.wire cimport *

cdef enum:
    MAX_TAKEN = 1 << 17
    ICMP_TIME_EXCEEDED = 11
    ICMPV6_TIME_EXCEEDED = 3

cdef uint8_t *taken[MAX_TAKEN]
cdef uint32_t ntaken = 0
cdef uint32_t scratch_limit = MAX_TAKEN
cdef list outs = []
cdef engine_t blank            # no services; the link of whatever VLAN a frame is from
memset(&blank, 0, sizeof(engine_t))


# ---------------------------------------------------------------- what surrounds them

cdef verdict_t drop(worker_t *w, uint32_t reason) noexcept nogil:
    w.drops[reason] += 1
    return DROP


cdef uint8_t *scratch_take(worker_t *w, uint32_t size) noexcept nogil:
    global ntaken
    if ntaken == scratch_limit:
        return NULL
    taken[ntaken] = <uint8_t *>malloc(HEADROOM + size)
    ntaken += 1
    return taken[ntaken - 1] + HEADROOM


cdef void scratch_drop() noexcept nogil:
    global ntaken
    while ntaken:
        ntaken -= 1
        free(taken[ntaken])


cdef verdict_t emit_l3(
    worker_t *w, uint8_t *l3, uint32_t ip_len, const nexthop_t *nh, const vnet_t *vnet
) noexcept with gil:
    memset(l3 - 18, 0, 18)
    outs.append(("wire", 0, (<const char *>vnet)[:sizeof(vnet_t)], (<const char *>l3)[:ip_len]))
    return SENT


cdef verdict_t to_host(worker_t *w, pkt_t *p) noexcept with gil:
    memset(p.data - 4, 0, 4)
    outs.append((
        "host", p.ifindex, (<const char *>&p.vnet)[:sizeof(vnet_t)],
        (<const char *>p.data)[:p.len], p.vlan_tpid, p.vlan_tci,
    ))
    return HOST


cdef void icmp_error(
    worker_t *w, const pkt_t *p, uint32_t kind, uint32_t code, uint32_t info
) noexcept with gil:
    outs.append(("icmp", kind, code, (<const char *>p.l3)[:p.ip_len], bool(p.is_icmp_error)))


include "../../lbfast/_fast/fragpool.pxi"
include "../../lbfast/_fast/frag.pxi"
include "../../lbfast/_fast/fragout.pxi"
include "../../lbfast/_fast/segment.pxi"

VNET_SIZE = sizeof(vnet_t)
DROPS = {
    "bad": R_FRAG_BAD, "memory": R_FRAG_MEMORY, "timeout": R_FRAG_TIMEOUT, "full": R_OUT_FULL,
    "gso": R_GSO, "tiny": R_MTU_TINY,
}


# ---------------------------------------------------------------- packets

cdef class Buffer:
    """A frame in memory of just its size, behind HEADROOM bytes."""
    cdef uint8_t *memory
    cdef pkt_t p

    def __cinit__(self, bytes frame, bytes vnet=b"", uint32_t ifindex=1):
        self.memory = <uint8_t *>malloc(HEADROOM + len(frame))
        memset(&self.p, 0, sizeof(pkt_t))
        memcpy(self.memory + HEADROOM, <const char *>frame, len(frame))
        self.p.data = self.memory + HEADROOM
        self.p.len = self.p.room = len(frame)
        self.p.ifindex = ifindex
        self.p.held = NO_INDEX
        if vnet:
            memcpy(&self.p.vnet, <const char *>vnet, sizeof(vnet_t))

    def __dealloc__(self):
        free(self.memory)


cdef object parsed(worker_t *w, Buffer b):
    """Parse; None unless the packet is fit for the next stage."""
    cdef link_t *link = &blank.world.links[0]
    w.engine = &blank
    blank.world.nlinks = 1
    link.vlan_parent = b.p.ifindex
    link.vlan_id = b.p.vlan_tci & 0xFFF
    memcpy(link.mac, b.p.data, min(6, b.p.len))
    if parse(w, &b.p, b.p.data) != NEXT:
        return None
    return b


cdef list drained():
    done = list(outs)
    outs.clear()
    scratch_drop()
    return done


cdef dict reasons(const worker_t *w):
    return {name: w.drops[<int>at] for name, at in DROPS.items() if w.drops[<int>at]}


cdef verdict_t collect(worker_t *w, pkt_t *p, void *arg) noexcept with gil:
    memset(p.l3 - HEADROOM, 0, HEADROOM)       # ours, up to the IP header
    st16(p.data + 12, ETH_P_IPV6 if p.is_v6 else ETH_P_IP)
    outs.append((
        (<const char *>&p.vnet)[:sizeof(vnet_t)], (<const char *>p.data)[:p.len],
        p.l3 - p.data, p.l4 - p.data, p.ip_len,
    ))
    return SENT


# ---------------------------------------------------------------- checksums

cdef bytes two(uint16_t v):
    return (<const char *>&v)[:2]


cdef uint16_t of_two(bytes v):
    return raw16(<const uint8_t *><const char *>v)


def csum(bytes data, int skip=0):
    """The checksum of a buffer from `skip` on, in the bytes in which it is stored."""
    cdef const uint8_t *p = <const uint8_t *><const char *>data
    return two(csum_fold(csum_add(0, p + skip, len(data) - skip)))


def csum_in_parts(bytes data, list cuts):
    """The same, over parts that begin at the (even) offsets in `cuts`."""
    cdef const uint8_t *p = <const uint8_t *><const char *>data
    cdef uint64_t total = 0
    cdef uint32_t i, j
    for i, j in zip([0, *cuts], [*cuts, len(data)]):
        total = csum_add(total, p + i, j - i)
    return two(csum_fold(total))


def csum_replace(bytes check, bytes old, bytes new, bint partial=False):
    """The checksum field after part of what it covers was replaced."""
    cdef uint16_t c = of_two(check)
    cdef const uint8_t *a = <const uint8_t *><const char *>old
    cdef const uint8_t *b = <const uint8_t *><const char *>new
    if partial:
        return two(csum_raw(csum_swap(c, a, b, len(old))))
    return two(csum_fold(csum_swap(<uint16_t>~c, a, b, len(old))))


def l4_csum(bytes l3, bint is_v6, uint32_t protocol, uint32_t at):
    cdef const uint8_t *p = <const uint8_t *><const char *>l3
    return two(csum_l4(p, is_v6, protocol, p + at, len(l3) - at))


def header_seal(bytes l3):
    cdef Buffer b = Buffer(l3)
    ipv4_header_seal(b.p.data)
    return (<const char *>b.p.data)[:len(l3)]


def header_ok(bytes l3, uint32_t size):
    return ipv4_header_ok(<const uint8_t *><const char *>l3, size)


def crc32c(bytes data, bint plain=False):
    cdef const uint8_t *p = <const uint8_t *><const char *>data
    if plain:
        return lb_crc32c_plain(0xFFFFFFFFU, p, len(data)) ^ 0xFFFFFFFFU
    return lb_crc32c(0xFFFFFFFFU, p, len(data)) ^ 0xFFFFFFFFU


# ---------------------------------------------------------------- fragments in

cdef class Reassembly:
    """A worker that knows nothing but fragments."""
    cdef worker_t w

    def __cinit__(self):
        memset(&self.w, 0, sizeof(worker_t))
        self.w.rng = 12345
        frag_init(&self.w)

    def __dealloc__(self):
        frag_free(&self.w)

    def feed(self, bytes frame, bytes vnet=b"", ifindex=1, vlan=(0, 0), give_back=False):
        """Returns (verdict, None or (frame, frag_max, df_seen))."""
        cdef Buffer b = Buffer(frame, vnet, ifindex)
        cdef verdict_t v
        b.p.vlan_tpid, b.p.vlan_tci = vlan
        if parsed(&self.w, b) is None or not b.p.is_frag:
            return None, None
        v = frag_defrag(&self.w, &b.p)
        if v != NEXT:
            return {<int>HELD: "held", <int>DROP: "drop"}[<int>v], None
        assert b.p.room >= b.p.len
        whole = (<const char *>b.p.data)[:b.p.len], b.p.frag_max, bool(b.p.df_seen)
        if give_back:
            frag_give_back(&self.w, &b.p)
        frag_release(&self.w, &b.p)
        assert b.p.held == NO_INDEX
        return "next", whole

    def tick(self, uint32_t now):
        self.w.now = now
        frag_run(&self.w)

    def outs(self):
        return drained()

    def drops(self):
        return reasons(&self.w)

    def free_blocks(self):
        """Free blocks, as counted and as listed."""
        cdef frags_t *f = <frags_t *>self.w.frags
        cdef uint32_t i = f.free_block, n = 0
        while i != NO_INDEX:
            n += 1
            i = f.chain[i]
        return f.nfree, n

    def queues(self):
        """Queues in use: in order of age forwards and backwards, in buckets, not free."""
        cdef frags_t *f = <frags_t *>self.w.frags
        cdef uint32_t i, b, n = 0, m = 0, k = 0, unused = 0
        i = f.oldest
        while i != NO_INDEX:
            n += 1
            i = f.queues[i].newer
        i = f.newest
        while i != NO_INDEX:
            m += 1
            i = f.queues[i].older
        for b in range(<uint32_t>FRAG_BUCKETS):
            i = f.buckets[b]
            while i != NO_INDEX:
                k += 1
                i = f.queues[i].hnext
        i = f.free_queue
        while i != NO_INDEX:
            unused += 1
            i = f.queues[i].hnext
        return n, m, k, FRAG_QUEUES - unused


def limits():
    return {
        "queues": FRAG_QUEUES, "blocks": FRAG_BLOCKS, "block": FRAG_BLOCK, "fragments": FRAG_MAX,
        "v4": FRAG_TICKS_V4, "v6": FRAG_TICKS_V6,
    }


# ---------------------------------------------------------------- fragments out, segments

def cut(bytes frame, uint32_t mtu, uint32_t frag_max=0, bint df_seen=False, bytes vnet=b"",
        uint32_t room=MAX_TAKEN):
    """Returns (packets from the IP header on, reasons)."""
    global scratch_limit
    cdef worker_t w
    cdef nexthop_t nh
    cdef Buffer b = Buffer(frame, vnet)
    memset(&w, 0, sizeof(w))
    memset(&nh, 0, sizeof(nh))
    w.rng = 99
    if parsed(&w, b) is None:
        return None, None
    b.p.frag_max = frag_max
    b.p.df_seen = df_seen
    scratch_limit = room
    frag_output(&w, &b.p, &nh, mtu)
    scratch_limit = MAX_TAKEN
    return [out[3] for out in drained()], reasons(&w)


def check(bytes frame, bytes vnet):
    """Returns whether the virtio-net header fits, and both as they are afterwards."""
    cdef worker_t w
    cdef Buffer b = Buffer(frame, vnet)
    memset(&w, 0, sizeof(w))
    if parsed(&w, b) is None:
        return None
    ok = bool(vnet_check(&b.p))
    return ok, (<const char *>b.p.data)[:b.p.len], (<const char *>&b.p.vnet)[:sizeof(vnet_t)]


def complete(bytes frame, bytes vnet):
    cdef worker_t w
    cdef Buffer b = Buffer(frame, vnet)
    memset(&w, 0, sizeof(w))
    if parsed(&w, b) is None:
        return None
    csum_complete(&w, &b.p)
    return (<const char *>b.p.data)[:b.p.len], b.p.vnet.flags


def segments(bytes frame, bytes vnet, bint partial=False, uint32_t room=MAX_TAKEN):
    """Check and cut a super-frame; returns (count, [(vnet, frame, l3, l4, ip_len)], reasons)."""
    global scratch_limit
    cdef worker_t w
    cdef Buffer b = Buffer(frame, vnet)
    cdef int n
    memset(&w, 0, sizeof(w))
    if parsed(&w, b) is None or not vnet_check(&b.p):
        return None
    scratch_limit = room
    n = segment(&w, &b.p, partial, collect, NULL)
    scratch_limit = MAX_TAKEN
    return n, drained(), reasons(&w)


# ---------------------------------------------------------------- how a worker waits

cdef class Pace:
    """The decisions of pace.pxd; longest_us as of `lbfast run --rx-usecs`."""

    cdef pace_t pace

    def __cinit__(self, uint32_t longest_us):
        pace_reset(&self.pace, longest_us)

    def next(self, uint32_t frames, uint64_t us, uint32_t tcp=0, uint32_t big=0):
        """Return the next sleep in microseconds, 0 = until a frame comes."""
        cdef came_t came
        came.frames, came.tcp, came.big = frames, tcp, big
        return pace_next(&self.pace, &came, us)
