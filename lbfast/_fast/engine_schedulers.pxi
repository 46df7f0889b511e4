"""The face of schedulers that are not built in."""


cdef class SchedulerFace(ServiceFace):
    """Registering schedulers from elsewhere, and answering for those in Python."""

    def scheduler_add(self, bytes name, object factory):
        """Register a scheduler in Python: a class, of which each service that uses it gets one.

        A service taken over with that name gets it now.  Raises TypeError or ValueError.
        """
        python_register(&self.e, name, factory)

    def scheduler_add_capsule(self, object capsule):
        """Register a compiled scheduler by its capsule; return its name."""
        return capsule_register(&self.e, capsule)

    def schedulers(self):
        """Return {name: (is compiled, {event: how often}, {event: what happened last})} of the
        registered ones.  Events: picked, stood-in (wlc decided), raised, wrong, late, lost."""
        return kinds_dict(&self.e)

    def schedulers_missing(self):
        """Return the names of services' schedulers that are not registered, once a service."""
        return kinds_missing(&self.e)

    def serve_schedulers(self):
        """Answer for the schedulers in Python until serve_stop(); for a thread of its own.

        From now on no worker holds the GIL.  Needs a scheduler that was registered before.
        """
        if self.e.outside == NULL:
            raise ValueError("no scheduler is registered")
        serve(<outside_t *>self.e.outside)

    @property
    def serving(self):
        """Whether a thread answers for the schedulers in Python."""
        cdef outside_t *o = <outside_t *>self.e.outside
        return o != NULL and lb_load_seq(&o.served) != 0

    def serve_stop(self):
        """Let serve_schedulers() return."""
        cdef outside_t *o = <outside_t *>self.e.outside
        if o != NULL:
            lb_publish(&o.stop, 1)
            eventfd_write(o.ask_fd, 1)
