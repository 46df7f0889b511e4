"""The connection table alone: filling it, and looking up random packets of it in batches.

A flow is a number: it stands for a client address and port.  Frames are made in memory of the
size of a ring, a chunk at a time, and only what is done with them is timed.
"""
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef enum:
    CHUNK_FRAMES = 2048           # prepared at a time: half of a level 2 cache of 1 MiB
    CHUNK_ROOM = 256              # bytes of a prepared frame
    FLOW_PORTS = 50000            # of each client address

ctypedef struct chunk_t:          # frames made ahead, and what they are made of
    uint8_t *memory
    frame_t *ready
    uint32_t ifindex
    uint8_t[64] model             # a frame of Ethernet, IPv4 without options, and UDP
    uint32_t size


cdef void chunk_frame(chunk_t *c, uint32_t n, uint32_t flow) noexcept nogil:
    """Make frame n that of a flow: the model with another client, and right checksums."""
    cdef uint8_t *at = c.memory + <size_t>n * CHUNK_ROOM + HEADROOM
    cdef uint8_t *l3 = at + 14
    memset(&c.ready[n], 0, sizeof(frame_t))
    c.ready[n].data = at
    c.ready[n].len = c.ready[n].wire_len = c.size
    memcpy(at, c.model, c.size)
    st32(l3 + 12, ld32(c.model + 26) + flow // FLOW_PORTS)
    st16(l3 + 20, 1024 + flow % FLOW_PORTS)
    ipv4_header_seal(l3)
    put16(l3 + 26, 0)
    put16(l3 + 26, csum_l4(l3, False, IPPROTO_UDP_, l3 + 20, c.size - 34))


cdef uint64_t bench_clock_ns() noexcept nogil:
    cdef timespec t
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t)
    return <uint64_t>t.tv_sec * 1000000000 + t.tv_nsec


cdef uint32_t chunk_find(engine_t *e, worker_t *w, chunk_t *c, uint32_t n) noexcept nogil:
    """Look up n frames in batches as frames_run does, and do nothing else; returns how many are
    of known connections."""
    cdef batch_t b
    cdef plain_t *q
    cdef const uint8_t *l3
    cdef uint32_t at = 0, i, found = 0
    b.ifindex = c.ifindex
    b.mac = e.world.links[link_find(&e.world, c.ifindex)].mac
    b.way = WAY_REQUEST
    b.cut = b.others = 0                 # all frames are plain
    while at < n:
        b.frames = &c.ready[at]
        b.n = n - at if n - at < BATCH else BATCH
        batch_ahead(e, w, &b, False)
        for i in range(b.n):
            q = &b.plains[i]
            l3 = b.frames[i].data + 14
            if q.key != PLAIN_NOT and (
                plain_is(e, q.conn, l3, False, WAY_REQUEST)
                or flow_search(e, q, &b.frames[i], WAY_REQUEST)
            ):
                found += 1
        at += b.n
    return found


cdef uint64_t lookup_run(
    engine_t *e, chunk_t *c, uint64_t *rng, uint32_t flows, uint64_t packets, bint whole
) noexcept nogil:
    """Time packets of random flows: nanoseconds of the lookups, or of all that is done.
    0: not all were known."""
    cdef worker_t *w = &e.workers[0]
    cdef uint64_t done = 0, spent = 0, began, right = w.plain
    cdef uint32_t i, n, found = 0
    while done < packets:
        n = CHUNK_FRAMES if packets - done > CHUNK_FRAMES else <uint32_t>(packets - done)
        for i in range(n):
            rng[0] = rng[0] * <uint64_t>6364136223846793005 + <uint64_t>1442695040888963407
            chunk_frame(c, i, <uint32_t>((rng[0] >> 32) * flows >> 32))
        began = bench_clock_ns()
        if whole:
            bench_run(e, c.ready, n, c.ifindex, w.now_ns)
        else:
            found += chunk_find(e, w, c, n)
        spent += bench_clock_ns() - began
        done += n
    if whole:
        found = <uint32_t>(w.plain - right)
    return spent if found == packets else 0


cdef class Lookups:
    """The flows of one service in an engine that nobody else uses; see the head of the file."""

    cdef Engine engine
    cdef chunk_t c
    cdef uint64_t rng

    def __cinit__(self, Engine engine, uint32_t ifindex, bytes model, uint64_t seed):
        """model: a frame of 42 to 64 bytes as it comes in there, with UDP."""
        if not 42 <= len(model) <= 64:
            raise ValueError(f"frame of {len(model)} bytes, expected 42 to 64")
        if link_find(&engine.e.world, ifindex) == NO_INDEX:
            raise ValueError(f"no link with index {ifindex}")
        self.engine = engine
        self.rng = seed
        self.c.ifindex = ifindex
        self.c.size = <uint32_t>len(model)
        memcpy(self.c.model, <const char *>model, len(model))
        self.c.memory = <uint8_t *>malloc(<size_t>CHUNK_FRAMES * CHUNK_ROOM)
        self.c.ready = <frame_t *>calloc(CHUNK_FRAMES, sizeof(frame_t))
        if self.c.memory == NULL or self.c.ready == NULL:
            raise MemoryError

    def __dealloc__(self):
        free(self.c.memory)
        free(self.c.ready)

    def fill(self, uint32_t first, uint32_t end, uint64_t now_ns):
        """Send one packet of each flow through the data path: their connections are made."""
        cdef uint32_t i, n, at = first
        while at < end:
            n = end - at if end - at < CHUNK_FRAMES else CHUNK_FRAMES
            for i in range(n):
                chunk_frame(&self.c, i, at + i)
            bench_run(&self.engine.e, self.c.ready, n, self.c.ifindex, now_ns)
            at += n

    def time(self, uint32_t flows, uint64_t packets, bint whole=False):
        """Return the nanoseconds that packets of random flows below `flows` take: to find their
        connections, or whole."""
        cdef uint64_t spent
        with nogil:
            spent = lookup_run(
                &self.engine.e, &self.c, &self.rng, flows, packets, whole
            )
        if spent == 0:
            raise ValueError("a packet of no known connection")
        return spent
