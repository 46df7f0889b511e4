"""Every struct and enum of the data path; read this first.

Three nouns: a packet (`pkt_t`, lives for one pass), a connection (`conn_t`, a record of the
arena), a service with its destinations (`svc_t`, `dest_t`, records too).  Records refer to one
another by index, never by pointer.  Everything that is not a record (hash chains, timer lists,
scheduler state, routes) is derived from the records or from the kernel and is rebuilt when a
process attaches.

Who writes a field: (c) control, between batches; (w) the worker that owns the record; (l) any
worker, under the set-up lock; no letter: constant after creation.
"""
# long: every struct is in one place, which is the first to be read
from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

ctypedef uint16_t be16     # network byte order
ctypedef uint32_t be32

cdef extern from *:
    """
    #define LB_STATIC_ASSERT(c) ((void)sizeof(char[(c) ? 1 : -1]))
    #define LB_LIKELY(x) __builtin_expect(!!(x), 1)
    #define LB_UNLIKELY(x) __builtin_expect(!!(x), 0)
    #define LB_PREFETCH(p) __builtin_prefetch(p)
    #define LB_PREFETCH_FAR(p) __builtin_prefetch(p, 0, 2)
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define LB_BYTES4(a, b, c, d) ((uint32_t)(a) | (b) << 8 | (c) << 16 | (uint32_t)(d) << 24)
    #define LB_LITTLE_ENDIAN 1
    #else
    #define LB_LITTLE_ENDIAN 0
    #define LB_BYTES4(a, b, c, d) ((uint32_t)(a) << 24 | (b) << 16 | (c) << 8 | (uint32_t)(d))
    #endif
    """
    uint32_t LB_BYTES4(uint32_t, uint32_t, uint32_t, uint32_t) noexcept nogil  # as in memory
    void LB_STATIC_ASSERT(bint) noexcept nogil
    bint LB_LITTLE_ENDIAN
    bint LB_LIKELY(bint) noexcept nogil
    bint LB_UNLIKELY(bint) noexcept nogil
    void LB_PREFETCH(const void *) noexcept nogil
    # Into the level 2 cache, which waits for more lines of memory at once than level 1 does.
    void LB_PREFETCH_FAR(const void *) noexcept nogil

cdef enum:
    NO_INDEX = 0xFFFFFFFFU     # no record
    NO_DEST = -1               # a scheduler found nothing
    TICKS_PER_S = 100          # connection timers count in ticks of 10 ms
    NS_PER_TICK = 10000000
    MAX_WORKERS = 16
    MAX_LINKS = 64
    MAX_MARKS = 128
    HEADROOM = 96              # bytes in front of a frame that are ours (encapsulation in place)
    MAX_FRAME = 65600          # Ethernet header and a 64 KiB packet

# What becomes of a packet.  DROP is 0: it is what a failing `noexcept` function returns.
ctypedef enum verdict_t:
    DROP = 0        # discarded, a reason is counted
    NEXT = 1        # go on with the next stage
    SENT = 2        # emitted (rewritten, or replaced by something that was)
    HOST = 3        # taken from the host and to be given back to it
    IGNORE = 4      # never taken: the host has it already
    HELD = 5        # kept: waits for fragments or for a neighbour

# Why a packet was dropped; the names are in _fastpath.REASONS, in this order.
cdef enum:
    R_NONE = 0
    R_TRUNCATED          # frame shorter than its headers say
    R_BAD_HEADER         # IP version, header length or checksum wrong
    R_NO_PORTS           # transport header incomplete
    R_NO_MEMORY          # connection table full
    R_NO_DEST            # no usable real server: answered port unreachable
    R_DEST_GONE          # connection of a deleted real server
    R_NO_ROUTE
    R_NO_NEIGHBOUR       # next hop did not answer in time
    R_TTL
    R_MTU                # too big, answered fragmentation needed or packet too big
    R_MTU_TINY           # what is left for a tunnelled packet is less than the minimum
    R_BAD_CHECKSUM       # of an ICMP error or of a packet that must be recomputed
    R_MARTIAN            # loopback source or target from outside
    R_FRAG_TIMEOUT
    R_FRAG_BAD           # overlapping, oversized or too many fragments
    R_FRAG_MEMORY
    R_ICMP_RELATED       # ICMP error about a connection that cannot be relayed
    R_DEFENCE            # drop_packet strategy
    R_PE                 # persistence engine found no data
    R_REPLY_UNREACH      # nat_icmp_send: orphan of a real server
    R_OPTION             # an IP option that must not be forwarded
    R_GSO                # super-frame that cannot be expressed or segmented
    R_NO_LADDR           # FULLNAT: no local address or port left
    R_OUT_FULL           # more frames than one batch can emit
    R_BACKPRESSURE       # the outgoing socket refused it
    R_SCHED              # a scheduler failed
    R_RELAYED            # consumed: an ICMP error about a tunnel, answered with another
    R_HANDOVER           # the queue to the worker of its connection is full
    R_COUNT

# Connection flags, spec 4.4
cdef enum:
    CONN_METHOD = 0x0007
    CONN_SYNC = 0x0020
    CONN_HASHED = 0x0040       # written last at creation, cleared first at removal
    CONN_NOOUTPUT = 0x0080
    CONN_INACTIVE = 0x0100
    CONN_OUT_SEQ = 0x0200
    CONN_IN_SEQ = 0x0400
    CONN_NO_CPORT = 0x0800
    CONN_TEMPLATE = 0x1000
    CONN_ONE_PACKET = 0x2000
    CONN_NFCT = 0x10000
    # ours, above what goes on the wire of the sync protocol
    CONN_V6 = 0x100000         # client and virtual address are IPv6: see conn6_t
    CONN_D6 = 0x200000         # destination address is IPv6
    CONN_FWMARK = 0x400000     # belongs to a fwmark service
    CONN_ASSURED = 0x800000    # template whose connections were established
    CONN_FTP = 0x1000000       # FTP control connection that the helper follows
    CONN_EXPECTED = 0x2000000  # announced, no packet seen yet: expect.pxi
    CONN_SHARED = 0x2001000    # TEMPLATE, EXPECTED: in tables of all workers, under the lock

ctypedef enum method_t:
    MASQ = 0
    LOCALNODE = 1
    TUNNEL = 2
    DROUTE = 3
    BYPASS = 4
    FULLNAT = 5

# Service flags, spec 1.2
cdef enum:
    SVC_PERSISTENT = 0x01
    SVC_ONEPACKET = 0x04
    SVC_SCHED1 = 0x08
    SVC_SCHED2 = 0x10
    SVC_SCHED3 = 0x20

# Destination state
cdef enum:
    DEST_USED = 1              # the record is live; written last
    DEST_AVAILABLE = 2         # member of a service (else: in the trash)
    DEST_OVERLOAD = 4
    DEST_WAS_MASQ = 16         # NAT at some time: such connections may be left
    DEST_WAS_FULL = 32         # FULLNAT at some time, likewise
    DEST_STEERED = 8           # counted in the steering table, until its record is freed

ctypedef struct addr_t:        # IPv4 in w[0], the rest 0
    be32 w[4]

ctypedef struct vnet_t:        # struct virtio_net_hdr, host byte order
    uint8_t flags              # 1 NEEDS_CSUM, 2 DATA_VALID
    uint8_t gso_type           # 0 none, 1 TCPv4, 4 TCPv6, 5 UDP, +0x80 ECN
    uint16_t hdr_len
    uint16_t gso_size          # payload bytes of each segment
    uint16_t csum_start        # from the Ethernet header on
    uint16_t csum_offset

cdef enum:
    VNET_NEEDS_CSUM = 1
    VNET_DATA_VALID = 2
    GSO_NONE = 0
    GSO_TCPV4 = 1
    GSO_TCPV6 = 4
    GSO_UDP_L4 = 5
    GSO_ECN = 0x80

# ---------------------------------------------------------------- records of the arena

ctypedef struct counts_t:      # (w) one for each worker; the sum is what counts
    uint64_t conns
    uint64_t inpkts
    uint64_t outpkts
    uint64_t inbytes
    uint64_t outbytes
    uint64_t pad[3]

ctypedef struct est_t:         # (c) what the estimator made of the counters, spec 7.3
    uint64_t last[5]           # sums at the previous estimation
    uint64_t base[5]           # zeroing: shown = last - base
    uint64_t avg[5]            # conns, packets in 1/1024 per s; bytes in 1/32 per s

ctypedef struct svc_t:
    uint32_t used              # (c) 0 free; written last
    uint16_t af
    uint16_t protocol
    addr_t addr
    uint32_t fwmark
    be16 port
    uint16_t flags             # (c) SVC_*
    uint32_t timeout_s         # (c)
    uint32_t netmask           # (c) IPv4: be32 mask; IPv6: prefix length
    char sched_name[16]        # (c)
    char pe_name[16]           # (c)
    uint64_t order             # larger = added later
    est_t est

ctypedef struct dest_t:
    # read for every packet
    addr_t addr
    be16 port
    uint8_t af
    uint8_t method             # (c) method_t of new connections
    uint8_t tun_type           # (c) 0 ipip, 1 gue, 2 gre
    uint8_t pad0
    be16 tun_port              # (c)
    uint16_t tun_flags         # (c)
    uint16_t pad1
    uint32_t svc               # (c) index of the service; NO_INDEX in the trash
    int32_t weight             # (c) 0 = quiesced
    int32_t last_weight        # (c) last non-zero weight, or that at the addition
    uint32_t u_threshold       # (c)
    uint32_t l_threshold       # (c)
    uint32_t pmtu              # (w) learned path MTU towards this server, 0 = none
    uint32_t pmtu_until        # (w) tick at which it is forgotten
    # written with every connection
    uint32_t flags             # (l) DEST_*
    uint32_t activeconns       # (l)
    uint32_t inactconns        # (l)
    uint32_t persistconns      # (l)
    uint32_t refs              # (l) connections and templates bound, entries of lblc and lblcr
    uint32_t idle_since_s      # (c) trash: when first seen unreferenced, 0 = not yet
    uint32_t slot              # (l) derived: where the scheduler keeps it, NO_INDEX = nowhere
    uint32_t mark              # (l) derived: what else the scheduler notes of it
    uint64_t order             # larger = added later
    # the key of the service, for revival from the trash (spec 1.7)
    addr_t vaddr
    uint32_t vfwmark
    be16 vport
    uint16_t vprotocol
    uint64_t vorder            # svc_t.order of that service object
    uint16_t vaf
    uint16_t pad2[3]
    est_t est

ctypedef struct conn_t:        # 64 bytes: what an IPv4 packet needs is in one cache line
    uint32_t hnext             # (w) next in the bucket
    # in the order in which they are next to one another in packets of either direction
    be32 daddr                 # IPv6: fold of the address, the full one is in conn6_t
    be32 caddr
    be32 vaddr
    be16 dport
    be16 cport
    be16 vport
    uint8_t protocol           # 0: template of a fwmark service
    uint8_t state              # (w) of the protocol's table
    uint32_t flags             # (w) CONN_*
    uint32_t timeout           # (w) ticks
    uint32_t expires           # (w) tick
    uint32_t dest              # index, or NO_INDEX (bypass, synchronised and unbound)
    uint32_t control           # controlling entry, or NO_INDEX
    uint32_t n_control         # (l) entries that this one controls
    uint32_t in_pkts           # (w)
    uint32_t tnext             # (w) timer list
    uint32_t tprev             # (w)
    uint32_t ext               # (l) conn_ext_t, or NO_INDEX

ctypedef struct conn6_t:       # beside the conn_t of the same index, when CONN_V6 or CONN_D6
    addr_t daddr
    addr_t caddr
    addr_t vaddr
    uint32_t pad[4]

ctypedef struct conn_full_t:   # beside the conn_t of the same index, when it is FULLNAT
    addr_t laddr               # LIP: what the real server sees as its client
    be16 lport
    uint16_t pad0
    uint32_t pool              # index of the laddr_t
    uint32_t next              # (w) derived: next in the chain of the local side
    uint32_t seq_delta         # what is added to the client's sequence numbers
    uint32_t server_next       # (w) sequence number after the server's SYN
    uint32_t has_server_next   # (w) that was seen
    uint32_t pad[6]

ctypedef struct laddr_t:       # a local address (LIP) of one service
    uint32_t used              # (c) 0 free; written last
    uint32_t af
    addr_t addr
    uint32_t svc               # (c) index; NO_INDEX: deleted, and has connections still
    uint32_t cursor            # (l) port given out last, host order
    uint64_t order             # larger = added later
    uint32_t conns             # (l) derived: connections from here
    uint32_t pad[5]

ctypedef struct conn_ext_t:    # what few connections have; conn_t.ext is its index
    uint32_t ftp_asked         # (w) control connection: FTP_PASV, FTP_EPSV, or neither
    uint32_t seq_adjusts       # (w) replies were made longer or shorter
    uint32_t seq_at            # (w) sequence number behind which `seq_after` holds
    int32_t seq_before         # (w) bytes by which replies are longer, up to there
    int32_t seq_after          # (w) and from there on
    uint32_t pe_len
    uint8_t pe_data[256]       # template: what the persistence engine found
    uint32_t pad[2]

# ---------------------------------------------------------------- of the process

ctypedef struct pkt_t:         # one packet on its way through the stages
    uint8_t *data              # Ethernet header; HEADROOM bytes in front are ours
    uint32_t len               # of the frame, trimmed to what the IP header says
    uint32_t room              # bytes that may be written from `data` on
    uint32_t ifindex           # where it came in
    uint16_t l2_len            # 14, or 18 with an 802.1Q tag in the data
    uint16_t vlan_tci          # tag that the kernel took out, and its type; vlan_tpid 0 = none
    uint16_t vlan_tpid
    uint16_t l3_len            # IP header with its options, or IPv6 header with its extensions
    uint8_t *l3                # IP header
    uint8_t *l4                # transport header; NULL in a later fragment
    uint32_t ip_len            # length of the packet, from the IP header on
    uint8_t is_v6
    uint8_t protocol           # of the transport header
    uint8_t is_frag            # any fragment
    uint8_t later_frag         # not the first
    uint8_t has_ports
    uint8_t is_icmp_error
    uint8_t tcp_flags
    uint8_t from_icmp          # no packet: what an ICMP error quotes, to be scheduled
    be16 sport                 # ICMP: 0
    be16 dport
    addr_t saddr
    addr_t daddr
    uint16_t nexthdr_at        # IPv6: offset (from l3) of the byte that names the transport
    uint16_t frag_max          # largest original fragment (bytes from the IP header); 0 = whole
    uint8_t df_seen            # the largest original fragment had DF (IPv4)
    uint8_t new_conn           # the connection was made for this packet
    uint8_t role               # role_t
    uint8_t is_short           # ports are there, the rest of the transport header is not
    uint32_t fwmark
    uint32_t svc               # index, or NO_INDEX
    uint32_t hash              # of the client side
    uint32_t held              # reassembled: index of the fragment queue with the originals
    vnet_t vnet

ctypedef enum role_t:          # why a frame was taken (steering)
    ROLE_REQUEST = 0
    ROLE_REPLY = 1
    ROLE_ICMP = 2
    ROLE_FRAGMENT = 3
    ROLE_LOCAL = 4             # reply of a FULLNAT server, to a local address
    ROLE_PASSING = 5           # not taken, the host has it: but it is to be accounted

# Packets that may take the short way, flow.pxi; a path's key is the sum of this and a generation
cdef enum:
    PLAIN_NOT = 0
    PLAIN_UDP = 1
    NO_KEY = 2                 # neither a packet's nor a path's
    PLAIN_TCP = 3
    PLAIN_V6 = 4               # with one of those
    PLAIN_LOCAL = 8            # likewise: goes WAY_LOCAL
    GENERATION = 16            # step of engine_t.generation

ctypedef enum way_t:           # what a plain packet is taken for, to find its connection
    WAY_REQUEST = 0
    WAY_REPLY = 1              # of a NAT server, to the client
    WAY_LOCAL = 2              # of a FULLNAT server, to a local address
    WAYS = 3

ctypedef struct path_t:        # (w) one direction of a connection: what the stages found out
    uint32_t key               # the engine's generation and PLAIN_* while it holds; 0: nothing
    uint16_t neigh             # next hop, its interface with it
    uint16_t mtu               # longest packet that leaves as it is (within its tunnel)
    uint16_t sum_l3            # RFC 1624: what changes in the IPv4 header's checksum
    uint16_t sum_l4            # under NAT, in that of TCP or UDP
    uint16_t sum_addr          # and in a partial one, which covers no ports
    uint16_t method            # method_t

ctypedef struct known_t:       # (w) beside the conn_t of the same index; derived: flow.pxi
    path_t request
    path_t reply

ctypedef struct outer_t:       # (w) by destination: outer header of a tunnel; derived: flow.pxi
    uint8_t head[40]           # IPv4: the addresses; IPv6: all but traffic class, length, hops
    uint32_t sum               # IPv4: sum of the addresses, 16 bits
    uint32_t df                # IPv4: bits of the word at byte 6 that are the inner header's
    uint32_t pmtu_known        # whether a path MTU was learned (dest_t.pmtu)
    uint32_t pad[3]

cdef enum:                     # what `out_t.ifindex` is meant to be
    OUT_WIRE = 0               # a frame for that interface
    OUT_HOST = 1               # a frame to be given back to the host, as if it came from there
    OUT_PASS = 2               # a frame that the host was sending there, on its way again
    OUT_WRAP = 3               # a tunnelled super-frame, as the kernel is to cut it

ctypedef struct out_t:         # one frame to be sent; its memory lives until the batch is flushed
    uint8_t *data              # at least 12 bytes in front are ours (virtio-net header)
    uint32_t len
    uint32_t ifindex
    uint32_t kind              # OUT_*
    vnet_t vnet

# ---------------------------------------------------------------- the world around, by control

cdef enum:
    LINK_UP = 1
    LINK_LOOPBACK = 2
    LINK_NOARP = 4
    # rtnetlink's route types
    RTN_UNICAST = 1
    RTN_LOCAL = 2
    RTN_BROADCAST = 3
    RTN_MULTICAST = 5
    RTN_BLACKHOLE = 6
    RTN_UNREACHABLE = 7
    RTN_PROHIBIT = 8
    RTN_THROW = 9

ctypedef struct link_t:
    uint32_t ifindex           # 0 = free
    uint32_t mtu
    uint32_t flags             # LINK_*
    uint16_t vlan_id           # 0: none; else frames leave `vlan_parent` with this tag
    uint16_t wraps             # takes OUT_WRAP
    uint32_t vlan_parent       # ifindex
    uint8_t mac[6]
    uint8_t pad2[2]

ctypedef struct nexthop_t:     # the answer to "where does a packet for this address go"
    uint32_t type              # RTN_*; 0 = no route
    uint32_t ifindex
    uint32_t link              # index into links
    uint32_t mtu
    uint32_t neigh             # index of the neighbour entry, NO_INDEX when the link needs none
    uint32_t is_v6             # family of `via`
    addr_t via                 # whom to resolve: the gateway, or the address itself
    addr_t prefsrc             # source address the route prefers; zero = none

# ---------------------------------------------------------------- worker and engine

ctypedef struct sched_t:       # scheduling state of one service; derived, never in the arena
    uint32_t ndest
    uint32_t capacity
    uint32_t *list             # destination indices, newest first
    dest_t *dests              # the whole array: dests[list[i]]
    uint32_t flags             # SVC_SCHED*
    uint32_t is_v6
    uint32_t born              # tick at which the scheduler was started
    void *priv                 # what the scheduler keeps
    void *ops                  # sched_ops_t *; NULL: none

ctypedef struct pool_t:        # the local addresses of one service; derived
    uint32_t n
    uint32_t capacity
    uint32_t *list             # (c) laddr_t indices, oldest first
    uint32_t next              # (l) whose turn it is
    uint32_t picks             # (l)
    uint32_t failed_at         # (l) tick at which no port was free for ...
    uint32_t failed_dest       # (l) ... this destination; NO_INDEX: none
    uint32_t turns             # scheduled by rr or wrr: see pool_turn

ctypedef struct wheel_t:       # (w) timer lists; slot = tick / TICKS_PER_SLOT
    uint32_t slot              # next slot to be looked at
    uint32_t *heads

ctypedef struct worker_t:
    void *engine               # engine_t *
    uint32_t index
    uint32_t now               # tick
    uint64_t now_ns            # CLOCK_MONOTONIC
    out_t *outs                # what this batch sends
    uint32_t nouts
    uint32_t max_outs
    uint8_t *scratch           # memory for frames made in this batch
    uint32_t scratch_used
    uint32_t scratch_size
    void *sink                 # who takes the outs
    void (*flush)(worker_t *w) noexcept nogil      # sends all outs; empties outs and scratch
    wheel_t wheel
    uint32_t free_head         # list of free connection records (hnext)
    uint32_t free_fresh        # first record never used
    uint32_t fresh_end
    uint32_t nconns
    uint32_t rng               # xorshift state
    uint16_t ip_id             # no two workers give the same:
    uint16_t ip_step           # their number
    void *frags                # fragment queues, frag.pxi
    void *pending              # packets that wait for a neighbour, pending.pxi
    void *routes               # cache of next hops, route.pxi
    counts_t *total            # its part of the director's counters
    counts_t *dests            # and of the destinations'
    uint8_t ways[64]           # by index of a link: way_t that most plain packets there took last
    uint64_t drops[64]         # by R_*
    uint64_t verdicts[8]
    uint64_t plain             # packets that took the short way
    uint64_t handed            # packets that another worker got from this one
    uint32_t to_wake           # bits of the workers that this batch had something for
    uint32_t pad2

ctypedef struct slot_t:        # of map_t
    addr_t addr
    uint32_t a
    uint32_t b                 # 0 = empty
    uint32_t value
    uint32_t pad

ctypedef struct map_t:         # (c) open addressing, linear probing; never more than half full
    slot_t *slots
    uint32_t mask
    uint32_t used

ctypedef struct route_t:
    uint32_t used
    uint32_t type              # RTN_*
    uint32_t ifindex
    uint32_t mtu               # 0: the link's
    uint32_t metric
    uint32_t next              # another route of the same prefix, higher metric; NO_INDEX
    uint32_t has_via
    uint32_t via_v6
    addr_t via
    addr_t prefsrc
    addr_t dst
    uint32_t prefixlen
    uint32_t table             # index, see rule_t
    uint32_t is_v6

ctypedef struct rule_t:        # policy rule: which table is asked, in order
    uint32_t table             # index
    uint32_t type              # RTN_UNICAST, or what the rule says without a table
    uint32_t is_v6
    uint32_t src_len
    uint32_t dst_len
    addr_t src
    addr_t dst

ctypedef struct neigh_t:
    uint8_t head[16]           # two bytes, then the Ethernet header of packets of its family
    uint32_t ifindex
    uint32_t tell_at           # (w) tick from which on control is told of its use; past: not valid
    uint32_t valid             # its MAC address is known
    uint32_t asked             # tick at which it was last asked for
    uint32_t used
    uint32_t is_v6
    addr_t addr
    uint32_t pad[2]

ctypedef struct ifaddr_t:      # an address of the host
    uint32_t ifindex
    uint32_t is_v6
    uint32_t prefixlen
    uint32_t pad
    addr_t addr

ctypedef struct request_t:     # what the data path asks of control
    uint32_t kind              # 1: resolve, 2: in use
    uint32_t ifindex
    uint32_t is_v6
    addr_t addr

ctypedef struct world_t:
    link_t links[MAX_LINKS]
    uint32_t nlinks
    map_t fib                  # prefix -> index into routes
    route_t *routes
    uint32_t nroutes
    uint32_t max_routes
    uint32_t free_route        # list of free records (next)
    uint32_t lengths[2][16][5]     # [is_v6][table] bitmap of the prefix lengths in use (0..128)
    rule_t rules[64]
    uint32_t nrules
    map_t neigh_map
    neigh_t *neighs
    uint32_t nneighs
    uint32_t max_neighs
    ifaddr_t *addrs
    uint32_t naddrs
    uint32_t max_addrs
    uint32_t generation        # grows with every change
    request_t requests[256]    # ring
    uint32_t req_head          # (l)
    uint32_t req_tail          # (c)
    int request_fd             # eventfd, -1 without

ctypedef struct settings_t:    # (c) sysctls net.ipv4.vs.*, host order
    int32_t amemthresh
    int32_t am_droprate
    int32_t drop_entry
    int32_t drop_packet
    int32_t secure_tcp
    int32_t conntrack
    int32_t snat_reroute
    int32_t cache_bypass
    int32_t expire_nodest_conn
    int32_t expire_quiescent_template
    int32_t sloppy_tcp
    int32_t sloppy_sctp
    int32_t conn_reuse_mode
    int32_t nat_icmp_send
    int32_t pmtu_disc
    int32_t schedule_icmp
    int32_t ignore_tunneled
    int32_t backup_only
    int32_t run_estimation
    int32_t lblc_expiration
    int32_t lblcr_expiration
    int32_t tcp_timeout_s      # ipvsadm --set
    int32_t tcpfin_timeout_s
    int32_t udp_timeout_s
    int32_t ftp_helper         # FTP control connections of NAT services are followed
    int32_t toa                # FULLNAT names the client: 0 no, 1 in early ACKs, 2 in the SYN too
    int32_t sync_version
    int32_t sync_threshold     # the first of its two numbers
    int32_t sync_period        # and the second
    int32_t sync_refresh_period
    int32_t sync_retries
    int32_t sync_qlen_max
    int32_t sync_sock_size
    int32_t sync_ports
    int32_t sync_persist_mode

ctypedef struct mark_t:        # a rule that gives packets their fwmark; a later match overrides
    uint32_t mark
    uint32_t ifindex           # 0 = any
    addr_t src
    addr_t dst
    uint16_t sport_low         # host order; 0 to 65535 = any
    uint16_t sport_high
    uint16_t dport_low
    uint16_t dport_high
    uint8_t is_v6
    uint8_t protocol           # 0 = any of TCP, UDP, SCTP
    uint8_t src_len
    uint8_t dst_len
    char interface[16]         # whose ifindex it is; "" = any
    uint32_t pad[3]

ctypedef struct header_t:      # the arena's first page
    uint64_t magic
    uint32_t version           # of the layout
    uint32_t conn_size         # sizeof each record, part of the layout
    uint32_t dest_size
    uint32_t svc_size
    uint32_t max_conns
    uint32_t max_dests
    uint32_t max_svcs
    uint32_t fresh             # (l) connection records below this index may have been used
    uint64_t seed
    uint64_t order             # (c) last number given out
    char boot_id[40]           # of the kernel whose clock the timers follow
    uint32_t marks             # (c) which set of mark rules holds, times 2^16, and how many
    uint32_t workers           # so many have counted into it (0: not known)
    settings_t settings        # (c)
    est_t total

ctypedef struct engine_t:
    header_t *header
    void *region
    uint64_t region_size
    # records
    conn_t *conns
    conn6_t *conns6
    conn_ext_t *exts
    dest_t *dests
    svc_t *svcs
    laddr_t *laddrs
    conn_full_t *fulls
    counts_t *dest_counts      # [worker][dest]
    counts_t *svc_counts       # (c) [worker][svc]; what its present destinations have comes on top
    counts_t *total_counts     # [worker]
    uint32_t max_conns
    uint32_t max_dests
    uint32_t max_svcs
    uint32_t max_laddrs        # follows from max_svcs
    uint32_t nworkers
    # derived
    known_t *flows             # by connection index; in front of the first one of nobody
    outer_t *outers            # by destination index
    uint32_t generation        # (c) of all that control edits, in steps of GENERATION; never 0
    uint64_t seed
    uint64_t mix[2]            # of the seed: conn_mix
    uint64_t to_conn6          # bytes from a conn_t to the conn6_t of the same index
    uint32_t *buckets          # heads: index + 1, 0 = none; b belongs to worker b % nworkers
    uint32_t bucket_mask
    uint32_t *templates        # (l) heads likewise: templates and expected entries
    uint32_t template_mask
    uint32_t nexpected         # (l) connections with CONN_EXPECTED
    uint32_t *locals           # heads as in `buckets`, by the local side; NULL: not needed yet
    uint32_t strays[256]       # (l) heads likewise: not in a bucket of their owner
    uint32_t nstrays           # (l)
    pool_t *pools              # by service index
    uint32_t port_low          # (c) ports that the host gives its own connections, host order:
    uint32_t port_high         # (c) never ours
    map_t services             # (protocol, address, port) and fwmark -> svc
    map_t members              # (c) service and (family, address, port) -> destination
    uint32_t dest_hint         # (c) records below are in use, as a rule
    map_t steer                # VIPs and NAT servers: what is taken from the host
    uint32_t has_masq[2]       # [is_v6] number of NAT servers
    uint32_t has_full[2]       # [is_v6] number of FULLNAT servers
    uint32_t has_laddr[2]      # [is_v6] number of local addresses
    uint32_t nsvcs[2]
    uint32_t nport0            # services with port 0
    uint32_t ntrash            # destinations in the trash
    uint32_t nftp              # services on TCP port 21
    uint32_t npe               # services with a persistence engine
    sched_t *scheds            # by service index
    void *outside              # outside_t: schedulers that are not built in
    world_t world
    settings_t settings
    mark_t *mark_sets          # records: two sets of MAX_MARKS, one of which holds
    mark_t *marks              # (c) the set that holds
    uint32_t nmarks
    uint32_t nstandby          # (c) addresses that another director serves
    worker_t *workers          # nworkers, and one more whose timer lists hold the templates
    int lock                   # spin lock of the set-up path; taken only with several workers
    uint32_t drop_rate         # drop_packet: 1 in so many, 0 never
    int32_t drop_counter       # (l)
    uint32_t secure            # secure_tcp is active
    int paused                 # (c) workers stay out of their batches
    int busy[16]               # (w) worker is inside a batch
    void *handovers            # queues between workers, handover.pxi
    uint32_t sleeping[16]      # (w) worker waits for frames; (l) cleared by who wakes it
    int wake_fds[16]           # eventfds that end the wait
