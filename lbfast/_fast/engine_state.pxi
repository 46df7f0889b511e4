"""The face of connections, rules that mark packets, settings and the clock."""


cdef class StateFace(SchedulerFace):
    """What is listed, set and due from time to time."""

    def connections(self, uint32_t start=0, uint32_t limit=0xFFFFFFFF):
        """Return (rows, next): up to `limit` connections from record `start` on; next is 0 at the
        end.  A row: see conn_tuple."""
        return conn_rows(&self.e, start, limit, self.e.workers[0].now)

    def text(self, uint32_t start, bytes names, bint with_engines):
        """Return (rows, next) as text; see conn_text."""
        return conn_text(&self.e, start, self.e.workers[0].now, names, with_engines)

    def marks_replace(self, list rules):
        """Set the rules that mark packets, in order; the last match decides.

        A rule: (mark, af, protocol, ifindex, src, src_len, dst, dst_len, (low, high) source
        port, (low, high) destination port, name of the interface); 0 or b"" stand for any, and
        the name may be left out: it is kept for whoever attaches.
        """
        cdef mark_t *new = self.e.mark_sets
        cdef uint32_t n = 0
        if len(rules) > MAX_MARKS:
            raise OSError(_errno.ENOSPC, f"more than {MAX_MARKS} rules that mark packets")
        if self.e.marks == new:
            new += MAX_MARKS
        for rule in rules:
            new[n] = mark_of(rule)
            n += 1
        edit_begin(&self.e)
        marks_use(&self.e, new, n)
        edit_end(&self.e)

    def marks(self):
        """Return the rules as marks_replace takes them, all fields."""
        return [mark_tuple(&self.e.marks[i]) for i in range(self.e.nmarks)]

    def standby_set(self, bytes addr, bint is_standby):
        """Leave what is sent to an address to the host, or take it again; kept by nobody: the
        next process that attaches serves every address."""
        cdef addr_t a = addr_of(addr)
        cdef uint32_t kind = KIND_STANDBY | <uint32_t>(len(addr) == 16)
        cdef bint held = map_get(&self.e.steer, &a, 0, kind) != NO_INDEX
        cdef bint done
        if held == is_standby:
            return
        edit_begin(&self.e)
        done = steer_count(&self.e, &a, 0, kind, 1 if is_standby else -1)
        if done:
            self.e.nstandby += 1 if is_standby else -1
        edit_end(&self.e)
        if not done:
            raise MemoryError

    def setting(self, str name):
        """Return the value of a sysctl net.ipv4.vs.NAME, or of tcp_timeout_s and its like."""
        return setting_at(&self.e.settings, name)[0]

    def set_setting(self, str name, int32_t value):
        edit_begin(&self.e)
        setting_at(&self.e.settings, name)[0] = value
        setting_at(&self.e.header.settings, name)[0] = value
        if name == "secure_tcp":
            self.e.secure = value >= 2
        elif name == "drop_packet" or name == "am_droprate":
            self.e.drop_rate = 0
            if self.e.settings.drop_packet == 3 and self.e.settings.am_droprate > 0:
                self.e.drop_rate = <uint32_t>self.e.settings.am_droprate
        edit_end(&self.e)

    def defend(self, int64_t available_pages):
        """Adjust the defence strategies to the memory that is left; due every second."""
        pause_begin(&self.e)
        defend(&self.e, available_pages)
        edit_end(&self.e)

    def estimate(self):
        """Take one step of the estimators; due every 2 s."""
        if self.e.settings.run_estimation:
            estimate_all(&self.e)

    def trash(self, uint64_t now_ns):
        """Visit the trash; due every 60 s."""
        if not self.e.ntrash and not self.e.has_laddr[0] and not self.e.has_laddr[1]:
            return                       # an edit would cost every connection a packet
        edit_begin(&self.e)
        trash_run(&self.e, <uint32_t>(now_ns // 1000000000))
        edit_end(&self.e)

    def reasons(self):
        """Return {reason: packets dropped}, without the reasons that never happened."""
        cdef uint32_t i, k
        counts = {}
        for k in range(R_COUNT):
            n = 0
            for i in range(self.e.nworkers):
                n += self.e.workers[i].drops[k]
            if n:
                counts[REASONS[k]] = n
        return counts

    def verdicts(self):
        """Return {verdict: packets}."""
        cdef uint32_t i, k
        counts = {}
        for k in range(6):
            counts[VERDICTS[k]] = 0
            for i in range(self.e.nworkers):
                counts[VERDICTS[k]] += self.e.workers[i].verdicts[k]
        return counts

    def plain(self):
        """Return how many packets took the short way: plain ones of known connections."""
        cdef uint32_t i
        return sum([self.e.workers[i].plain for i in range(self.e.nworkers)])
