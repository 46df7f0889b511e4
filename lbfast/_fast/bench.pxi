"""The data path alone, without rings: for counting instructions a packet."""

cdef enum:
    BENCH_ROOM = 2048            # bytes of a prepared frame: those in front are for tunnels


cdef void bench_sink(worker_t *w) noexcept nogil:
    """Nobody takes the outs: they are ready to be sent, and that is all."""
    w.nouts = 0


def bench(Engine engine, list frames, uint32_t prepared, uint32_t packets, uint64_t now_ns):
    """Run `packets` of `prepared` frames through worker 0 in batches, as the rings would.

    frames: (ifindex, vnet, frame) each, all of one interface, repeated until there are `prepared`
    of them, ready in memory before the first is run.  Between two calls that differ in `packets`
    alone lies the data path and nothing else.  Returns how many packets each verdict had.
    """
    cdef uint8_t *memory
    cdef frame_t *ready
    if packets > prepared or not frames:
        raise ValueError("more packets than prepared frames")
    memory = <uint8_t *>malloc(<size_t>prepared * BENCH_ROOM)
    ready = <frame_t *>calloc(prepared, sizeof(frame_t))
    try:
        if memory == NULL or ready == NULL:
            raise MemoryError
        bench_prepare(frames, memory, ready, prepared)
        before = engine.verdicts()
        bench_run(&engine.e, ready, packets, frames[0][0], now_ns)
    finally:
        free(memory)
        free(ready)
    return {name: n - before[name] for name, n in engine.verdicts().items()}


cdef int bench_prepare(
    list frames, uint8_t *memory, frame_t *ready, uint32_t prepared
) except -1:
    cdef uint32_t i
    for i in range(prepared):
        _, vnet, frame = frames[i % len(frames)]
        if len(frame) > BENCH_ROOM - 2 * HEADROOM:
            raise ValueError(f"frame of {len(frame)} bytes")
        ready[i].data = memory + <size_t>i * BENCH_ROOM + HEADROOM
        ready[i].len = ready[i].wire_len = len(frame)
        memcpy(ready[i].data, <const char *>frame, len(frame))
        if len(vnet) >= sizeof(vnet_t):
            memcpy(&ready[i].vnet, <const char *>vnet, sizeof(vnet_t))
    return 0


cdef void bench_run(
    engine_t *e, frame_t *ready, uint32_t packets, uint32_t ifindex, uint64_t now_ns
) noexcept nogil:
    cdef worker_t *w = &e.workers[0]
    cdef uint32_t at = 0, n
    w.flush = bench_sink
    batch_time(w, now_ns)
    while at < packets:
        n = packets - at if packets - at < BATCH else BATCH
        frames_run(e, w, &ready[at], n, ifindex)
        w.flush(w)
        w.scratch_used = 0
        at += n


cdef class Prepared:
    """Frames in memory, to be run again and again, whole or through one part of the path."""
    cdef Engine engine
    cdef list frames
    cdef uint32_t n
    cdef uint8_t *memory
    cdef frame_t *ready

    def __cinit__(self, Engine engine, list frames, uint32_t n):
        """Make room for `n` frames; `frames` as for bench()."""
        if not frames:
            raise ValueError("no frames")
        self.engine, self.frames, self.n = engine, frames, n
        self.memory = <uint8_t *>malloc(<size_t>n * BENCH_ROOM)
        self.ready = <frame_t *>calloc(n, sizeof(frame_t))
        if self.memory == NULL or self.ready == NULL:
            raise MemoryError
        self.fill()

    def __dealloc__(self):
        free(self.memory)
        free(self.ready)

    def fill(self):
        """Have the frames as they were: the path rewrites them."""
        bench_prepare(self.frames, self.memory, self.ready, self.n)

    def run(self, uint64_t now_ns):
        """Run all frames through worker 0; return how many were sent."""
        cdef uint64_t before = self.engine.e.workers[0].verdicts[<int>SENT]
        bench_run(&self.engine.e, self.ready, self.n, self.frames[0][0], now_ns)
        return self.engine.e.workers[0].verdicts[<int>SENT] - before

    def parse(self, bytes mac):
        """Only parse all frames; return how many are IP packets for this MAC address."""
        cdef worker_t *w = &self.engine.e.workers[0]
        cdef const uint8_t *own = <const uint8_t *><const char *>mac
        cdef pkt_t p
        cdef uint32_t i, good = 0
        if len(mac) != 6:
            raise ValueError(f"MAC address of {len(mac)} bytes")
        memset(&p, 0, sizeof(p))
        for i in range(self.n):
            p.data, p.len = self.ready[i].data, self.ready[i].len
            good += parse(w, &p, own) == NEXT
        return good

    def checksum(self):
        """Only sum up what follows the Ethernet header of all frames; return the sums' sum."""
        cdef uint64_t total = 0
        cdef uint32_t i
        for i in range(self.n):
            total += csum_fold(csum_add(0, self.ready[i].data + 14, self.ready[i].len - 14))
        return total
