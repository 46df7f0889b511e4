"""Engine: the Python face of the data path; its parts are in engine_*.pxi, one a concern."""


cdef class Engine(StateFace):
    """Connection table, services, routes and workers of one director.

    Times are nanoseconds of CLOCK_MONOTONIC, addresses bytes in network order, ports host order.
    What the kernel's interface would refuse raises OSError with its errno.
    """

    cdef object outs              # list that process() collects into
    cdef int stopping             # workers leave their loops

    def process(self, list frames, uint64_t now_ns):
        """Run frames through the data path as worker 0.

        frames: (ifindex, vnet, frame): the 10 bytes of a virtio-net header (b"" none) and the
        Ethernet frame.  Returns (kind, ifindex, vnet, frame) each: kind 0 leaves on that
        interface, kind 1 goes back to the host as if it had come in there.  Frames that were
        never the data path's are in neither; see verdicts.
        """
        cdef worker_t *w = &self.e.workers[0]
        cdef uint8_t *memory = <uint8_t *>malloc(MAX_FRAME + 2 * HEADROOM)
        if memory == NULL:
            raise MemoryError
        self.outs = []
        w.sink = <void *>self
        w.flush = collect
        try:
            batch_time(w, now_ns)
            for ifindex, vnet, frame in frames:
                process_one(&self.e, w, memory, ifindex, vnet, frame)
                w.flush(w)
                w.scratch_used = 0
            w.flush(w)
            w.scratch_used = 0
            if self.e.outside != NULL and not lb_load_seq(&(<outside_t *>self.e.outside).served):
                serve_told(<outside_t *>self.e.outside)
        finally:
            free(memory)
            w.sink = NULL
        outs = self.outs
        self.outs = None
        return outs

    def run(self, uint32_t index, Rings rings):
        """Be worker `index` on these rings until stop() is called; holds no GIL meanwhile."""
        if index >= self.e.nworkers:
            raise ValueError(f"no worker {index}")
        with nogil:
            worker_run(&self.e, &self.e.workers[index], &rings.r, &self.stopping)
        self.e.workers[index].sink = NULL

    def stop(self):
        """Ask the workers to leave their loops; wake their rings to have it done at once."""
        self.stopping = 1

    def restart(self):
        """After stop(), once all workers have left: let run() be called again."""
        self.stopping = 0
