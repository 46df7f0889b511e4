"""Engine: the Python face of the data path; its parts are in engine_*.pxi, one a concern."""


cdef class Engine(StateFace):
    """Connection table, services, routes and workers of one director.

    Times are nanoseconds of CLOCK_MONOTONIC, addresses bytes in network order, ports host order.
    What the kernel's interface would refuse raises OSError with its errno.
    """

    cdef object outs              # list that process() collects into
    cdef int stopping             # workers leave their loops
    cdef uint32_t arrived         # see drive()

    def process(self, list frames, uint64_t now_ns, uint32_t together=1):
        """Run frames through the data path as worker 0; what it hands over, its owner settles.

        frames: (ifindex, vnet, frame): the 10 bytes of a virtio-net header (b"" none) and the
        Ethernet frame.  Returns (kind, ifindex, vnet, frame) each: kind 0 leaves on that
        interface, kind 1 goes back to the host as if it had come in there.  Frames that were
        never the data path's are in neither; see verdicts.  together: how many make a batch (1 to
        64, all of one interface).
        """
        cdef uint8_t *memory
        if not 1 <= together <= BATCH:
            raise ValueError(f"{together} frames together, expected 1 to {BATCH}")
        memory = <uint8_t *>malloc(<size_t>together * FRAME_ROOM)
        if memory == NULL:
            raise MemoryError
        self.outs = []
        try:
            process_begin(&self.e, <void *>self, now_ns)
            for at in range(0, len(frames), together):
                process_some(&self.e, memory, frames[at:at + together])
            if self.e.outside != NULL and not lb_load_seq(&(<outside_t *>self.e.outside).served):
                serve_told(<outside_t *>self.e.outside)
        finally:
            free(memory)
            process_end(&self.e)
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

    def handed(self):
        """Return how many packets came to a worker that had to hand them to another."""
        cdef uint32_t i
        return sum([self.e.workers[i].handed for i in range(self.e.nworkers)])

    def spread(self):
        """Return what decides the owner of a connection: (seed, mask, workers), as hash_owner."""
        return self.e.seed, self.e.bucket_mask, self.e.nworkers

    def stop(self):
        """Ask the workers to leave their loops; wake their rings to have it done at once."""
        lb_publish(<uint32_t *>&self.stopping, 1)

    def restart(self):
        """After stop(), once all workers have left: let run() be called again."""
        self.stopping = 0
